"""`pvd bench` as people type it: what it prints and writes, and every example of its help."""

import json
import shlex
import signal

import numpy as np
import pytest
from ros_weights import TINY, tiny_weights, tiny_weights_with_time

from pvd_cli.__main__ import main
from pvd_cli.commands import bench as bench_module
from pvd_cli.commands.bench import bench
from pvd_cli.main import run
from pvd_core.models import build

EXAMPLES = [line.strip() for line in bench.__doc__.splitlines() if line.strip().startswith("pvd bench")]
# The quick ones; the others start a process for each of many rows.
QUICK = ("pvd bench scan.bin", "pvd bench scan.bin --layers --stages --precision bf16")
PROMISED = (
    "backend precision threads voxels macs median_ms p90_ms p99_ms network_ms maps_ms floor_ms ratio_to_floor "
    "ratio_to_spconv peak_mb"
)


def marked(lines):
    return [pytest.param(line, marks=pytest.mark.bf16) if "--precision bf16" in line else line for line in lines]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Current folder with the files that the examples name; every network is a tiny one."""
    monkeypatch.chdir(tmp_path)
    scans = tmp_path / "sequences/08/velodyne"
    scans.mkdir(parents=True)
    for number, path in enumerate((tmp_path / "scan.bin", scans / "000000.bin", scans / "000001.bin")):
        generator = np.random.default_rng(number)
        points = generator.uniform((-30, -30, -2, 0), (30, 30, 1, 1), (300, 4)).astype(np.float32)
        points.tofile(path)
    (tmp_path / "runs/first").mkdir(parents=True)
    weights = tiny_weights(tmp_path).rename(tmp_path / "runs/first/best.safetensors")
    monkeypatch.setattr("pvd_core.default_weights", lambda: weights)
    monkeypatch.setattr("pvd_cli.bench.measurement._RUNS", 1)
    monkeypatch.setattr("pvd_cli.bench.measurement._LEAST_RUNS", 1)
    monkeypatch.setattr("pvd_cli.bench.worker._TURN_SECONDS", 0.0)
    for name in build.PRESETS:
        monkeypatch.setitem(build.PRESETS, name, TINY)
    return tmp_path


def run_example(line):
    words = shlex.split(line)[1:]
    return run([*words, *([] if "--runs" in words else ["--runs", "3"])])


@pytest.mark.parametrize("line", marked(line for line in EXAMPLES if line in QUICK))
def test_quick_examples_of_the_help_run(line, folder, no_processes, capsys):
    assert run_example(line) == 0
    assert "|---" in capsys.readouterr().out


def test_layers_and_stages_are_timed_in_one_run(folder, no_processes, capsys):
    assert run_example("pvd bench scan.bin --layers --stages") == 0
    assert "|---" in capsys.readouterr().out


def test_networks_that_take_the_time_of_points_are_timed_on_single_scans(folder, no_processes, capsys):
    weights = tiny_weights_with_time(folder / "runs")
    assert run(["bench", "scan.bin", "--weights", str(weights), "--runs", "3"]) == 0
    assert "|---" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("line", marked(line for line in EXAMPLES if line not in QUICK))
def test_examples_of_the_help_run(line, folder, capsys):
    assert run_example(line) == 0
    assert "|---" in capsys.readouterr().out


def test_quick_examples_are_examples():
    assert set(QUICK) <= set(EXAMPLES)


def test_files_hold_the_promised_columns_and_how_to_repeat_them(folder, no_processes, capsys, monkeypatch):
    words = ["bench", "scan.bin", "--threads", "1", "--runs", "3", "--json", "new/b.json", "--markdown", "new/b.md"]
    monkeypatch.setattr("sys.argv", ["pvd", *words])
    (folder / "new").mkdir()
    assert run(words) == 0
    result = json.loads((folder / "new/b.json").read_text())
    (row,) = result["rows"]
    assert set(PROMISED.split()) <= row.keys()
    assert row["threads"] == 1
    assert result["command"] == "pvd " + " ".join(words)
    assert result["settings"]["precisions"] == ["fp32"]
    assert {"hardware", "versions", "commit", "runs"} <= result.keys()
    printed = capsys.readouterr().out
    assert (folder / "new/b.md").read_text() in printed
    assert max(len(line) for line in printed.splitlines() if line.startswith("|")) <= 120

    before = (folder / "new/b.json").read_text()
    assert run(words) == 2
    assert (folder / "new/b.json").read_text() == before


@pytest.mark.parametrize("number", ["-1", "two", "0,-2", "", "1.5"])
def test_numbers_of_busy_processes_that_make_no_sense_are_refused(folder, error_of, number):
    assert "--beside" in error_of("bench", "scan.bin", "--beside", number)


def test_random_networks_are_the_same_every_time(folder):
    first, second = (bench_module._networks("cylinder3d-0.5x", None)["cylinder3d-0.5x"] for _ in range(2))
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        assert (one == other).all()


def test_tables_timed_before_a_break_are_kept(folder, no_processes, monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("pvd_cli.bench.layer_rows", interrupted)
    assert run(["bench", "scan.bin", "--stages", "--layers", "--runs", "3", "--json", "b.json"]) == 130
    result = json.loads((folder / "b.json").read_text())
    assert result["stages"][0]["stage"] == "voxelise"
    assert "layers" not in result
    assert "kept b.json" in capsys.readouterr().err
    assert result["incomplete"] == ["layers"]


@pytest.fixture
def sigterm():
    """Puts back what SIGTERM does, which the command changes."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_rows_timed_before_a_signal_are_printed_and_kept_and_marked(
    number, code, folder, no_processes, sigterm, monkeypatch, capsys
):
    words = ["bench", "scan.bin", "sequences/08/velodyne/000000.bin", "--threads", "1", "--runs", "100000"]
    monkeypatch.setattr("sys.argv", ["pvd", *words, "--json", "b.json", "--markdown", "b.md"])
    monkeypatch.setattr("pvd_cli.progress.Steps.show", lambda *_: signal.raise_signal(number))
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == code
    result = json.loads((folder / "b.json").read_text())
    (row,) = result["rows"]
    assert row["scan"] == "scan.bin"
    assert 0 < row["samples"] < 100_000
    assert result["incomplete"] == ["rows"]
    printed = capsys.readouterr().out
    assert "**Incomplete**" in printed
    assert (folder / "b.md").read_text() == printed
