"""`pvd dataset instances`."""

import numpy as np
import pytest
from tiny_dataset import random_scan, write_scan

from pvd_cli.main import run

RAW_TRUCK = 18


@pytest.fixture
def data(tmp_path):
    for frame in range(3):
        points, raw = random_scan(np.random.default_rng(frame))
        raw[-400:] = RAW_TRUCK | 7 << 16
        raw[:5] = RAW_TRUCK
        write_scan(tmp_path / "data", "00", f"{frame:06d}", points, raw)
    return tmp_path / "data"


def test_objects_are_cut_and_counted_by_sequence(data, tmp_path, capsys):
    out = tmp_path / "cut"
    for _ in range(2):
        assert run(["dataset", "instances", str(data), "--out", str(out)]) == 0
        output = capsys.readouterr().out
        assert f"{out}: 3 objects cut out of 3 scans\n" in output
        row = next(line for line in output.splitlines() if "00" in line and "1,200" in line)
        assert [cell.strip() for cell in row.strip("│┃|").split("│")] == ["00", "3", "1", "0", "3", "1,200", "15", "0"]
    assert sorted(path.name for path in (out / "00").iterdir()) == [f"{frame:06d}.npz" for frame in range(3)]


def test_other_classes_can_be_cut(data, tmp_path, capsys):
    assert run(["dataset", "instances", str(data), "--out", str(tmp_path / "cut"), "--classes", "person, bicycle"]) == 0
    assert "0 objects cut out of 3 scans" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["instances", "{data}"], "give --out"),
        (["instances", "{data}", "--out", "{data}"], "is not empty"),
        (["instances", "{data}", "--out", "{data}/x", "--classes", "bicylist"], "bicyclist"),
        (["instances", "{data}", "--out", "{data}/x", "--split", "05"], "no sequence 05"),
        (["check", "{data}", "--out", "{data}/x"], "--out"),
        (["simulated", "{data}", "--classes", "person"], "--classes"),
    ],
)
def test_what_does_not_fit_is_refused(data, capsys, arguments, message):
    assert run(["dataset", *(argument.format(data=data) for argument in arguments)]) == 2
    assert message in capsys.readouterr().err


def test_a_sequence_without_instance_ids_among_others_is_told(data, tmp_path, capsys):
    points, raw = random_scan(np.random.default_rng(9))
    raw[-400:] = RAW_TRUCK
    write_scan(data, "01", "000000", points, raw)
    assert run(["dataset", "instances", str(data), "--out", str(tmp_path / "cut")]) == 0
    assert "no point of a hard class in sequence 01 has an instance id" in capsys.readouterr().out
