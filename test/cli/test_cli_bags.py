"""`pvd simulate`, `label-bag` and `evaluate`, one after the other, as people use them; how `label-bag` ends."""

import json

import numpy as np
import pytest
from bags import clouds_of, file_of, rows_of, write_drive
from ros_clouds import rosbags_cloud

from pvd_cli.classes_found import classes_found_text
from pvd_cli.main import run
from pvd_core.taxonomy import SEMANTICKITTI


def test_simulated_drive_goes_through_bag_labelling_and_evaluation(weights, tmp_path, capsys, error_of):
    data, bag, labelled = tmp_path / "data", tmp_path / "bag", tmp_path / "labelled"
    assert run(["simulate", str(data), "--scans", "2", "--seed", "3", "--bag", str(bag), "--topic", "/lidar"]) == 0
    assert len(list((data / "sequences/08/velodyne").glob("*.bin"))) == 2
    assert run(["label-bag", str(bag), str(labelled), "--weights", str(weights), "--topic", "/lidar"]) == 0
    assert "2 of 2 clouds labelled" in capsys.readouterr().out
    result_file = tmp_path / "result.json"
    line = ["evaluate", str(data), "--weights", str(weights), "--split", "valid", "--json", str(result_file)]
    assert run(line) == 0
    result = json.loads(result_file.read_text())
    assert {"miou", "iou", "num_points"} <= result.keys()
    assert len(result["iou"]) == 19
    assert run([*line[:-4], "--split", "08", "--max-scans", "1"]) == 0
    assert "finished simulation" in error_of("simulate", data, "--scans", "2")


def test_labelled_bag_holds_what_predict_says(shared_data, weights, tmp_path):
    from pvd_cli.bags import write_sequence_bag
    from pvd_ros.bags import read_clouds

    bag, labelled, out = tmp_path / "bag", tmp_path / "labelled", tmp_path / "out"
    scan = shared_data / "semantickitti/sequences/09/velodyne/000000.bin"
    assert write_sequence_bag(scan.parent.parent, bag, "/points") == 1
    assert run(["label-bag", str(bag), str(labelled), "--weights", str(weights), "--topic", "/points"]) == 0
    assert run(["predict", str(scan), "--weights", str(weights), "--out", str(out)]) == 0
    (cloud,) = read_clouds(labelled, "/points/labelled")
    labels = np.frombuffer(bytes(cloud.message.data), "<u4").reshape(-1, 7)[:, 6]
    np.testing.assert_array_equal(SEMANTICKITTI.raw_from_class_ids(labels), np.fromfile(out / "000000.label", "<u4"))


BAD = rosbags_cloud(fields=[("x", 0, 7, 1)], data=bytes(32))


@pytest.fixture
def label(weights, tmp_path, capsys):
    """A function that labels a bag of clouds, and gives the exit code and what was printed."""

    def labelled(clouds, *options):
        bag = tmp_path / "drive"
        if not bag.exists():
            write_drive(bag, clouds)
        code = run(["label-bag", str(bag), str(tmp_path / "out"), "--weights", str(weights), *options])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return labelled


def test_all_clouds_labelled_is_exit_code_0_with_the_classes_found(label):
    code, out, _ = label(clouds_of(2))
    assert code == 0
    assert "2 of 2 clouds labelled (600 points) on /lidar/labelled" in out
    assert out.splitlines()[-1].startswith("classes found: ")
    assert "without a class" in out.splitlines()[-1]


def test_rejected_clouds_are_exit_code_3_and_named(label, tmp_path):
    code, out, _ = label([*clouds_of(2), BAD])
    assert code == 3
    assert "2 of 3 clouds labelled" in out
    assert "cloud 3, stamp 0.000000000: " in out
    assert f"written: {tmp_path / 'out'}" in out


def test_nothing_labelled_is_exit_code_2_and_nothing_is_said_to_be_written(label, tmp_path):
    code, out, error = label([BAD, BAD])
    assert code == 2
    assert out == ""
    assert "not one of the 2 clouds" in error
    assert "rejected 2: missing_xyz" in error
    assert not (tmp_path / "out").exists()


def test_an_output_is_replaced_only_with_overwrite_and_kept_with_resume(label, tmp_path):
    assert label(clouds_of(4), "--start", "0.1", "--end", "0.3")[0] == 0
    assert len(rows_of(tmp_path / "out", "/lidar/labelled")) == 2
    code, _, error = label((), "--resume")
    assert code == 2
    assert "other settings (--end, --start)" in error
    code, _, error = label(())
    assert code == 2
    assert "is not overwritten" in error
    assert label((), "--overwrite")[0] == 0
    assert len(rows_of(tmp_path / "out", "/lidar/labelled")) == 4
    code, out, _ = label((), "--resume")
    assert code == 0
    assert "complete already, left as it is" in out


def test_a_salvaged_bag_is_exit_code_3(label, tmp_path):
    file = file_of(write_drive(tmp_path / "drive", clouds_of(3)))
    file.write_bytes(file.read_bytes()[:-100])
    code, _, error = label(())
    assert code == 2
    assert "`--salvage` of `pvd label-bag`" in error
    code, out, _ = label((), "--salvage")
    assert code == 3
    assert "3 of 3 clouds labelled" in out
    assert "not read: " in out


def test_ctrl_c_says_how_to_go_on_and_that_works(label, weights, tmp_path, monkeypatch):
    from pvd_cli.progress import Steps

    def interrupt(_steps, done, _total):
        if done == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Steps, "show", interrupt)
        code, _, error = label(clouds_of(3))
    assert code == 130
    assert "the same command with --resume continues" in error
    assert not (tmp_path / "out").exists()
    code, out, _ = label((), "--resume")
    assert code == 0
    assert "2 of them by an earlier run" in out


def test_classes_are_listed_by_their_share_of_points():
    counts = np.zeros(20, int)
    counts[[0, 1, 9, 15]] = 100, 1, 5000, 4899
    text = classes_found_text(counts, SEMANTICKITTI)
    assert text == "classes found: road 50.0 %, vegetation 49.0 %, car under 0.1 %, without a class 1.0 %"
    assert classes_found_text([0] * 20, SEMANTICKITTI) == ""
