"""The benchmark measures what it says: relations between figures that hold on any machine, on a tiny network."""

import contextlib
import dataclasses
import importlib.util
import json
import os
import subprocess
import sys
import time
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from bench_plans import CPU, plan_of, scan_of, tiny_network

from pvd_cli.bench import Plan, as_markdown, benchmark, plan, turns
from pvd_cli.bench.busy import busy_processes
from pvd_cli.bench.labelling import labelling_rows
from pvd_cli.bench.plan import Job
from pvd_cli.bench.process import CannotMeasureError, MeasuringProcess
from pvd_cli.bench.scan_input import ScanInput
from pvd_cli.bench.turns import Outcome
from pvd_core.borders.errors import UserError
from pvd_core.runtime.hardware import hardware, versions
from pvd_core.runtime.memory import peak_mb
from pvd_core.segmenter import Segmenter
from pvd_core.sparse.backends.choose import backend_for
from pvd_core.weights import save_weights

PROMISED = {
    "backend", "precision", "threads", "voxels", "macs", "median_ms", "p90_ms", "p99_ms", "network_ms", "maps_ms",
    "floor_ms", "ratio_to_floor", "ratio_to_spconv", "peak_mb",
}  # fmt: skip

pytestmark = pytest.mark.usefixtures("short_warm_up")


@pytest.fixture(
    scope="module",
    params=[
        {"beside": (0, 1)},
        pytest.param({"precisions": ("fp32", "bf16")}, marks=[pytest.mark.bf16, pytest.mark.slow]),
    ],
    ids=["beside", "precisions"],
)
def measured(request):
    """Two rows, by two engines, each measured in a process of its own while this one holds 400 MB."""
    ballast = np.ones(100_000_000, np.float32)
    result = benchmark(plan_of(**request.param))
    del ballast
    return result


def test_every_promised_figure_is_measured(measured):
    row, other = measured["rows"]
    assert (row["precision"], row["beside"]) == ("fp32", 0)
    assert (other["precision"], other["beside"]) in (("fp32", 1), ("bf16", 0))
    assert set(row) >= PROMISED
    assert (row["points"], row["threads"], row["samples"]) == (300, 1, 3)
    assert measured["skipped"] == []
    assert json.loads(json.dumps(measured)) == measured


def test_ratios_and_percentiles_are_those_of_the_times(measured):
    for row in measured["rows"]:
        assert row["median_ms"] <= row["p90_ms"] <= row["p99_ms"]
        assert 0 < row["network_ms"] <= row["median_ms"]  # within each sample
        assert row["maps_ms"] > 0
        assert row["floor_ms"] > 0
        assert row["ratio_to_floor"] == pytest.approx(row["network_ms"] / row["floor_ms"])


def test_peak_memory_is_that_of_the_row_alone(measured):
    assert peak_mb(CPU) > 400
    for row in measured["rows"]:
        assert 0 < row["peak_mb"] < peak_mb(CPU) - 200


def test_labels_are_compared_with_those_of_the_first_row(measured):
    row, other = measured["rows"]
    network, points = tiny_network(), scan_of(300)
    labels = [Segmenter(network, precision=each["precision"]).segment(points).labels for each in (row, other)]
    assert row["same_labels"] == 1
    assert other["same_labels"] == pytest.approx(np.mean(labels[0] == labels[1]))


def test_share_of_labels_that_differ_from_the_first_rows_is_told():
    outcomes = [outcome("reference", "fp32", 1, 10.0), outcome("reference", "bf16", 1, 5.0)]
    outcomes[0].labels, outcomes[1].labels = np.array([1, 2, 3, 4]), np.array([1, 2, 3, 5])
    rows = labelling_rows(outcomes)
    assert [row["same_labels"] for row in rows] == [1, 0.75]


def test_ratios_of_an_empty_cloud_are_dashes(no_processes):
    result = benchmark(plan_of({"empty": np.zeros((5, 4), np.float32)}, threads=(2,)))
    (row,) = result["rows"]
    assert row["threads"] == 2
    assert (row["points"], row["voxels"], row["macs"], row["ratio_to_floor"]) == (5, 0, 0, None)
    lines = as_markdown(with_circumstances(result)).splitlines()
    (line,) = [line for line in lines if line.startswith(f"| {row['backend']}")]
    assert line.split("|")[10].strip() == "-"


def test_pooled_samples_go_round_all_scans(no_processes):
    scans = {"a": scan_of(300), "b": scan_of(700, seed=1)}
    (row,) = benchmark(plan_of(scans, runs=4), pool=True)["rows"]
    assert (row["scan"], row["points"], row["samples"]) == ("2 scans", 500, 4)
    voxels = [ScanInput(Segmenter(tiny_network()), points).num_voxels for points in scans.values()]
    assert row["voxels"] == round(sum(voxels) / 2)


@pytest.mark.parametrize("backend", ["triton", "spconv-triton"])
def test_a_process_says_why_a_combination_does_not_run_here(backend, monkeypatch):
    # In processes of their own: here the kernels may have been imported for the interpreter, which takes minutes.
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    if torch.cuda.is_available():
        pytest.skip("everything runs where there is a GPU")
    if importlib.util.find_spec(backend.replace("-", "_")) is None:
        pytest.skip(f"{backend} is not installed (extra gpu)")
    with pytest.raises(UserError, match=r"nothing could be timed: .*GPU"):
        benchmark(plan_of(backends=(backend,)))


@pytest.mark.parametrize("missing", ["backend", "precision"])
def test_what_does_not_load_here_is_left_out_with_its_reason_before_a_process_starts(
    missing, no_processes, monkeypatch
):
    def missing_here(*_):
        raise UserError("not on this machine")

    load = plan.load_backend
    if missing == "backend":
        monkeypatch.setattr(plan, "load_backend", lambda name: load(name) if name == "reference" else missing_here())
        both = plan_of(backends=("spconv", "reference"))
    else:
        monkeypatch.setattr("pvd_core.runtime.onednn.has_bfloat16", lambda: False)
        both = plan_of(backends=("reference",), precisions=("bf16", "fp32"))
    result = benchmark(both)
    assert [(row["backend"], row["precision"]) for row in result["rows"]] == [("reference", "fp32")]
    (skipped,) = result["skipped"]
    expected = {"backend": ("spconv", "fp32", "not on this"), "precision": ("reference", "bf16", "no bfloat16")}
    backend, precision, reason = expected[missing]
    assert (skipped["backend"], skipped["precision"]) == (backend, precision)
    assert reason in skipped["reason"]
    assert f"Not timed: tiny, {backend}, {precision}: " in as_markdown(with_circumstances(result))


def test_nothing_is_timed_where_nothing_remains(monkeypatch):
    monkeypatch.setattr("pvd_core.runtime.onednn.has_bfloat16", lambda: False)
    with pytest.raises(UserError, match=r"no bfloat16 products.*; precision 'fp16'"):
        plan_of(precisions=("bf16", "fp16"))


def test_an_interruption_leaves_no_process_behind(monkeypatch):
    started, start = [], subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda *a, **k: started.append(start(*a, **k)) or started[-1])

    def interrupt(*_):
        raise KeyboardInterrupt

    result = benchmark(plan_of(), progress=interrupt)
    assert isinstance(result["ended_by"], KeyboardInterrupt)
    assert [process.poll() for process in started] == [0]


@pytest.fixture
def job(tmp_path):
    weights = tmp_path / "tiny.safetensors"
    save_weights(weights, tiny_network())
    names = {"model": "tiny", "backend": "reference", "precision": "fp32"}
    return Job("batch", names, str(weights), [scan_of(300)], "cpu", threads=1, runs=3)


def test_a_measuring_process_ends_quietly_when_it_is_not_needed_any_more(job, capfd):
    process = MeasuringProcess(job)
    process._connection.send((0, 10**9))  # it is within a turn
    process.end()
    assert process._process.returncode == 0
    assert capfd.readouterr() == ("", "")


def test_a_measuring_process_that_dies_says_how(job, capfd):
    process = MeasuringProcess(job)
    assert process.facts["points"] == 300
    process._process.kill()
    with pytest.raises(CannotMeasureError, match="killed the measuring process, most likely for its memory"):
        process.repeat(0, 1)
    process.end()
    with pytest.raises(RuntimeError, match="measuring tiny, reference, fp32, --threads 1 ended with code 1"):
        MeasuringProcess(dataclasses.replace(job, kind="unknown"))
    printed = capfd.readouterr()
    assert "KeyError: 'unknown'" in printed.err
    assert printed.out == ""


def test_an_interruption_before_the_first_sample_is_passed_on(monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("pvd_cli.bench.turns.MeasuringProcess", interrupt)
    with pytest.raises(KeyboardInterrupt):
        benchmark(plan_of())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"backends": ("cudnn",)}, "backend 'cudnn'"),
        ({"precisions": ("fp16",)}, "fp16"),
        ({"precisions": ("fp7",)}, "fp7"),
        ({"scans": {}}, "scans is empty"),
    ],
)
def test_settings_that_cannot_work_are_refused_before_anything_is_timed(settings, message):
    with pytest.raises(UserError, match=message):
        Plan(**{"networks": {"tiny": None}, "scans": {"a": None}, "device": CPU, **settings})


def test_by_default_the_engine_that_labels_clouds_here_is_timed_under_its_own_name():
    assert plan_of().backends == (backend_for("auto", CPU).__name__.rpartition(".")[2],)
    assert plan_of(backends=("auto", "native", "reference", "native")).backends[-1] == "reference"


def outcome(backend, precision, threads, network_ms, beside=0):
    names = {"model": "tiny", "scan": "a", "backend": backend, "precision": precision, "beside": beside}
    fault = "two threads" if backend == "spconv" and threads > 1 else None
    facts = {"threads": threads, "points": 1, "voxels": 1, "macs": 1, "peak_mb": 1.0,
             "programs": False, "known_fault": fault}  # fmt: skip
    job = type("Job", (), {"names": names, "device": "cpu"})
    return Outcome(job, facts, [{"total": network_ms, "network": network_ms, "maps": 0.0, "floor": 1.0}])


def test_rows_are_compared_with_spconv_on_one_thread_where_its_results_are_right():
    outcomes = [
        outcome("reference", "fp32", 2, 10.0),
        outcome("reference", "bf16", 2, 5.0),
        outcome("spconv", "fp32", 1, 30.0),
        outcome("spconv", "fp32", 2, 20.0),
    ]
    rows = labelling_rows(outcomes)
    assert [row["ratio_to_spconv"] for row in rows] == [3, 6, 1, 1.5]
    assert {row["ratio_to_spconv_of"] for row in rows} == {"fp32, 1 thread"}
    assert rows[1]["ratios_to_spconv"] == {"fp32, 1 thread": 6, "fp32, 2 threads": 4}


def test_rows_are_compared_with_spconv_beside_as_many_busy_processes():
    outcomes = [
        outcome(backend, "fp32", 1, network_ms, beside)
        for backend, network_ms, beside in (("spconv", 20.0, 0), ("spconv", 60.0, 2), ("reference", 10.0, 2))
    ]
    rows = labelling_rows(outcomes)
    assert [row["ratio_to_spconv"] for row in rows] == [1, 1, 6]
    assert rows[2]["ratios_to_spconv"] == {"fp32, 1 thread": 6}


def test_samples_are_taken_beside_as_many_busy_processes_as_the_row_says(no_processes, monkeypatch):
    beside_now, taken_beside = [], []
    repeat = turns.MeasuringProcess.repeat

    @contextlib.contextmanager
    def busy_processes(number):
        beside_now.append(number)
        yield
        beside_now.pop()

    def recorded(process, first, most):
        taken_beside.append((process.job.names["beside"], list(beside_now)))
        return repeat(process, first, 1)

    monkeypatch.setattr("pvd_cli.bench.turns.busy_processes", busy_processes)
    monkeypatch.setattr(turns.MeasuringProcess, "repeat", recorded)
    rows = benchmark(plan_of(beside=(0, 2)))["rows"]
    assert taken_beside == [(0, [0]), (2, [2])] * 3  # in turns
    assert [row["beside"] for row in rows] == [0, 2]


def test_busy_processes_run_within_the_block_and_not_after_it():
    before, started = children(), []

    @busy_processes(2)
    def interrupted():
        started.extend(children() - before)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert len(started) == 2
    assert not children() & set(started)


def test_busy_processes_end_when_the_one_that_started_them_is_killed(project_root):
    script = "from busy import busy_processes\nwith busy_processes(2): print(flush=True); input()"
    environment = {**os.environ, "PYTHONPATH": str(project_root / "pvd_cli" / "bench")}  # without torch, for seconds
    command = [sys.executable, "-c", script]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, env=environment) as process:
        process.stdout.readline()
        busy = children(process.pid)
        process.kill()
    assert len(busy) == 2
    deadline = time.monotonic() + 60
    while any(is_running(pid) for pid in busy):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def children(parent="self"):
    """Process ids of the children of a process; Linux has them in /proc."""
    return {int(pid) for file in Path(f"/proc/{parent}/task").glob("*/children") for pid in file.read_text().split()}


def is_running(pid):
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def test_only_tables_with_busy_processes_have_a_column_for_them():
    def lines(besides):
        rows = [outcome("reference", "fp32", 1, 10.0, beside) for beside in besides]
        table = {"rows": labelling_rows(rows), "skipped": []}
        return as_markdown(with_circumstances(table))

    assert "beside" in lines((0, 2))
    assert "beside" not in lines((0,))


def test_every_table_has_its_title_even_if_another_one_has_the_same():
    names = {"model": "tiny", "scan": "a", "backend": "reference", "precision": "fp32", "threads": 2, "beside": 0}
    stage, layer = {**names, "stage": "encoder", "ms": 1.0, "share": 1.0}, {**names, "layer": "conv", "ms": 1.0}
    text = as_markdown(with_circumstances({"stages": [stage], "layers": [layer], "skipped": []}))
    assert text.count("**tiny**, a, reference, fp32, 2 threads") == 2


def test_files_from_before_busy_processes_are_still_rendered():
    (row,) = labelling_rows([outcome("reference", "fp32", 1, 10.0)])
    layer = {"model": "tiny", "scan": "a", "backend": "reference", "precision": "fp32", "threads": 1, "layer": "conv"}
    of_old = {name: value for name, value in row.items() if name != "beside"}
    text = as_markdown(with_circumstances({"rows": [of_old], "layers": [layer], "skipped": []}))
    assert "| reference |" in text
    assert "| conv " in text
    assert "beside" not in text


@pytest.mark.parametrize(("backend", "time_ms"), [("reference", 12345.6), ("spconv-triton", 987.6)])  # a CPU, a GPU
def test_reports_fit_120_columns_even_for_the_largest_network(backend, time_ms):
    names = {"model": "cylinder3d-0.25x", "scan": "x" * 200, "backend": backend, "precision": "bf16", "threads": 16,
             "beside": 16}  # fmt: skip
    times = dict.fromkeys(("median_ms", "p90_ms", "p99_ms", "network_ms", "maps_ms", "floor_ms"), time_ms)
    ratios = {"ratio_to_floor": 1.5, "ratio_to_spconv": 12.3, "ratio_to_spconv_of": "fp32, 1 thread"}
    sizes = {"points": 2_000_000, "voxels": 900_000, "macs": 10**12, "peak_mb": 12345.0}
    layer = {"layer": "backbone.encoder.0.branch_a.0.conv".removeprefix("backbone."), "kernel": "3x1x3",
             "channels": "64-256, 256-256-128-64-20", "pairs": 12_345_678, "macs": 10**11, "ms": 12345.0,
             "gflops": 345.6, "ratio_to_floor": 2.5}  # fmt: skip
    result = with_circumstances(
        {"rows": [{**names, **times, **ratios, **sizes, "same_labels": 0.998}], "layers": [{**names, **layer}],
         "skipped": []}
    )  # fmt: skip
    lines = as_markdown(result).splitlines()
    assert max(len(line) for line in lines if line.startswith("|")) <= 120
    assert any("spconv (fp32, 1 thread)" in line for line in lines)


def test_circumstances_name_the_machine_and_the_versions():
    machine, installed = hardware(CPU), versions_here()
    assert machine["cpu"]
    assert machine["cores"] >= 1
    assert machine["gpu"] is None
    assert installed["torch"] == torch.__version__
    assert set(installed) == {"python", "torch", "cuda", "triton", "spconv", "spconv-triton", "numpy"}


@cache
def versions_here():
    return versions()


def with_circumstances(result):
    return {"hardware": hardware(CPU), "versions": versions_here(), "runs": 3, "command": "pvd bench a", **result}
