"""`pvd predict` with weights that expect past scans behind each."""

import json
from unittest import mock

import numpy as np
import pytest
from moving_drive import POINTS_A_SCAN, write_drive
from ros_weights import tiny_weights_with_time
from tiny_dataset import TINY_MODEL

from pvd_cli.errors import EXIT_USER_ERROR
from pvd_cli.main import run
from pvd_core.clouds.history import PastScans
from pvd_core.segmenter import Segmenter
from pvd_core.taxonomy import SEMANTICKITTI_MULTISCAN
from training.data.dataset import ScanFolder
from training.data.fused_scans import FusedScans
from training.run.config import load_config
from training.run.loop import train


@pytest.fixture(scope="module")
def many_scans(tmp_path_factory):
    """Weights that learnt from two past scans behind each, for some steps: so that labels depend on all points."""
    folder = tmp_path_factory.mktemp("training")
    settings = [f"dataset={write_drive(folder / 'data', {'00': 4})}", "validation.sequences=[00]", "scans.past=2"]
    settings += ["taxonomy=semantickitti-multiscan", "batch_size=1", "max_steps=25", "validation.every_steps=0"]
    settings += ["optimizer.learning_rate=0.02", "schedule.warmup_steps=1", f"model={json.dumps(TINY_MODEL)}"]
    with mock.patch("training.run.loop.draw_curves"):
        return train(load_config(None, settings), folder / "run")["last_weights"]


@pytest.fixture
def drive(tmp_path):
    return write_drive(tmp_path / "data", {"08": 4})


def predicted(drive, weights, out, *options):
    velodyne = drive / "sequences/08/velodyne"
    code = run(["predict", str(velodyne), "--weights", str(weights), "--out", str(out), *options])
    return code, [np.fromfile(path, "<u4") for path in sorted(out.glob("*.label"))]


def expected_labels(drive, weights, past):
    segmenter = Segmenter.from_weights(weights, "cpu")
    scans = FusedScans(ScanFolder(drive, "08"), past)
    labels = [segmenter.segment(scans.points(index)).labels[:POINTS_A_SCAN] for index in range(4)]
    return [SEMANTICKITTI_MULTISCAN.raw_from_class_ids(each) for each in labels]


def is_same(first, second):
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_past_scans_beside_a_scan_are_put_behind_it(drive, many_scans, tmp_path, capsys):
    code, labels = predicted(drive, many_scans, tmp_path / "out")
    assert code == 0
    assert is_same(labels, expected_labels(drive, many_scans, PastScans(2)))
    assert not is_same(labels, expected_labels(drive, many_scans, PastScans()))
    assert "past scan" not in capsys.readouterr().err


def test_points_carry_how_many_scans_back_they_are_where_the_weights_take_it(drive, tmp_path, monkeypatch):
    segment, given = Segmenter.segment, []
    monkeypatch.setattr(Segmenter, "segment", lambda self, points: given.append(points) or segment(self, points))
    monkeypatch.setattr(Segmenter, "warm_up", lambda self: None)
    weights = tiny_weights_with_time(tmp_path)
    assert predicted(drive, weights, tmp_path / "out")[0] == 0
    assert [points[::POINTS_A_SCAN, 4].tolist() for points in given] == [[0], [0, 1], [0, 1, 2], [0, 1, 2]]
    (drive / "sequences/08/poses.txt").unlink()
    assert predicted(drive, weights, tmp_path / "alone")[0] == 0
    assert [points.shape for points in given[4:]] == [(POINTS_A_SCAN, 4)] * 4


def test_one_scan_of_a_sequence_gets_its_past_ones_too(drive, many_scans, tmp_path):
    scan = drive / "sequences/08/velodyne/000003.bin"
    assert run(["predict", str(scan), "--weights", str(many_scans), "--out", str(tmp_path / "out")]) == 0
    labels = np.fromfile(tmp_path / "out/000003.label", "<u4")
    assert (labels == expected_labels(drive, many_scans, PastScans(2))[3]).all()


def test_a_scan_without_those_before_it_is_told(drive, many_scans, tmp_path, capsys):
    for frame in range(3):
        (drive / f"sequences/08/velodyne/{frame:06d}.bin").unlink()
    code, labels = predicted(drive, many_scans, tmp_path / "out")
    assert (code, len(labels)) == (0, 1)
    assert "fewer than 2 past scans are put behind 1 of 1 scan (first 000003)" in capsys.readouterr().err


def test_without_poses_a_remark_says_so_and_scans_are_single(drive, many_scans, tmp_path, capsys):
    (drive / "sequences/08/poses.txt").unlink()
    code, labels = predicted(drive, many_scans, tmp_path / "out")
    assert code == 0
    assert is_same(labels, expected_labels(drive, many_scans, PastScans()))
    remark = "no poses.txt here or one folder up; these weights expect 2 past scans behind each and get single ones"
    assert remark in capsys.readouterr().err


def test_malformed_poses_are_refused_with_their_line(drive, many_scans, tmp_path, capsys):
    path = drive / "sequences/08/poses.txt"
    path.write_text(path.read_text().replace("\n", " 1\n", 1))
    code, labels = predicted(drive, many_scans, tmp_path / "out")
    assert code == EXIT_USER_ERROR
    assert labels == []
    assert "poses.txt line 1 has 13 values: expected 12" in capsys.readouterr().err


def test_a_past_scan_that_cannot_be_read_is_left_out_and_told_once(drive, many_scans, tmp_path, capsys):
    path = drive / "sequences/08/velodyne/000001.bin"
    path.write_bytes(path.read_bytes()[:-3])
    code, labels = predicted(drive, many_scans, tmp_path / "out")
    assert code == 3
    assert [len(each) for each in labels] == [POINTS_A_SCAN] * 3
    assert capsys.readouterr().err.count("it is left out behind later scans") == 1


def test_resuming_labels_anew_what_has_other_past_scans_now(drive, many_scans, tmp_path, capsys):
    predicted(drive, many_scans, tmp_path / "out")
    capsys.readouterr()
    assert predicted(drive, many_scans, tmp_path / "out", "--resume")[0] == 0
    assert "4 scans labelled before" in capsys.readouterr().err
    path = drive / "sequences/08/velodyne/000002.bin"
    points = np.fromfile(path, "<f4").reshape(-1, 4)
    points[:, 3] = 0.7
    points.tofile(path)
    code, labels = predicted(drive, many_scans, tmp_path / "out", "--resume")
    assert code == 0
    assert "2 scans labelled anew" in capsys.readouterr().err
    assert is_same(labels, expected_labels(drive, many_scans, PastScans(2)))
