"""Several --weights: the networks label together in every command that labels."""

import numpy as np
import pytest
from bags import write_drive
from ros_clouds import xyzi_cloud
from ros_weights import tiny_committee

from pvd_cli.main import run
from pvd_core.clouds import read_cloud
from pvd_core.committee import segmenter_of
from pvd_core.segmenter import Segmenter
from pvd_core.taxonomy import SEMANTICKITTI


@pytest.fixture(scope="module")
def committee(tmp_path_factory):
    return tiny_committee(tmp_path_factory.mktemp("weights"))


def named(files):
    return [word for path in files for word in ("--weights", str(path))]


def test_predict_writes_what_the_committee_says_and_resumes_with_the_same_alone(
    scan, committee, tmp_path, capsys, error_of
):
    line = ["predict", str(scan), "--out", str(tmp_path / "out")]
    assert run([*line, *named(committee)]) == 0
    found = np.fromfile(tmp_path / "out/scan.label", "<u4")
    expected = segmenter_of(committee, "cpu").segment(read_cloud(scan)).labels
    np.testing.assert_array_equal(found, SEMANTICKITTI.raw_from_class_ids(expected))
    for path in committee:
        alone = Segmenter.from_weights(path, "cpu").segment(read_cloud(scan)).labels
        assert (alone != expected).any()
    assert run([*line, *named(committee), "--resume"]) == 0
    assert "1 scan labelled before" in capsys.readouterr().err
    said = error_of(*line, *named(committee[:1]), "--resume")
    assert "made with weights tiny.safetensors, cubes.safetensors instead of tiny.safetensors" in said


def test_a_labelled_bag_holds_what_the_committee_says(committee, tmp_path, capsys, error_of):
    from pvd_ros.bags import read_clouds

    points = np.random.default_rng(1).uniform((-20, -20, -2, 0), (20, 20, 2, 1), (700, 4)).astype(np.float32)
    write_drive(tmp_path / "drive", [xyzi_cloud(points)])
    line = ["label-bag", str(tmp_path / "drive"), str(tmp_path / "out")]
    assert run([*line, *named(committee)]) == 0
    capsys.readouterr()
    (cloud,) = read_clouds(tmp_path / "out", "/lidar/labelled")
    labels = np.frombuffer(bytes(cloud.message.data), "<u4").reshape(len(points), -1)[:, 6]
    np.testing.assert_array_equal(labels, segmenter_of(committee, "cpu").segment(points).labels)
    assert "other settings (--weights)" in error_of(*line, *named(committee[:1]), "--resume")
    assert run([*line, *named(committee[::-1]), "--resume"]) == 0
    assert "complete already" in capsys.readouterr().out


@pytest.mark.parametrize("command", [["predict", "SCAN"], ["label-bag", "SCAN", "OUT"]])
def test_a_network_that_is_named_twice_is_refused_under_another_name_too(command, scan, committee, tmp_path, error_of):
    words = [{"SCAN": scan, "OUT": tmp_path / "out"}.get(word, word) for word in command]
    options = ["--out", tmp_path / "labels"] if command[0] == "predict" else []
    copied = tmp_path / "copied.safetensors"
    copied.write_bytes(committee[0].read_bytes())
    for other in (committee[0], copied):
        assert f"{committee[0]} and {other} are the same" in error_of(*words, *options, *named([committee[0], other]))
