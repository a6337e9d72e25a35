"""Weights for the 25 classes of the multi-scan task, from the command line: raw ids, scores, bags, pictures."""

import json

import numpy as np
import pytest
from bags import points_of, write_drive
from multiscan_weights import save_multiscan_weights
from ros_clouds import slow_column, xyzi_cloud
from tiny_dataset import write_dataset

from pvd_cli.main import run
from pvd_core.taxonomy import SEMANTICKITTI_MULTISCAN

MOVING_CAR = SEMANTICKITTI_MULTISCAN.id_of("moving-car")


@pytest.fixture(scope="module")
def multiscan(tmp_path_factory):
    return save_multiscan_weights(tmp_path_factory.mktemp("weights") / "multiscan.safetensors")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Scans with roads, buildings, and cars that stand or move."""
    return write_dataset(tmp_path_factory.mktemp("drive"), {"00": 2, "08": 4})


def share_of_moving_cars(dataset):
    raw = np.concatenate([np.fromfile(path, "<u4") for path in sorted(dataset.glob("sequences/08/labels/*"))])
    assert set(np.unique(raw & 0xFFFF)) == {10, 40, 50, 252}
    return np.mean(raw & 0xFFFF == 252)


def test_predict_writes_the_ids_of_moving_objects_and_scores_them_apart(dataset, multiscan, tmp_path, capsys):
    scans = dataset / "sequences/08/velodyne"
    assert run(["predict", str(scans), "--weights", str(multiscan), "--out", str(tmp_path), "--picture"]) == 0

    assert {int(raw) for path in tmp_path.glob("*.label") for raw in np.fromfile(path, "<u4")} == {252}
    assert len(list(tmp_path.glob("*.png"))) == 4
    printed = capsys.readouterr().out
    assert "classes found: moving-car 100.0 %" in printed
    assert "mean of all 25 (official)" in printed


def test_predict_resumes_labels_with_moving_ids(dataset, multiscan, tmp_path, capsys):
    line = ["predict", str(dataset / "sequences/08/velodyne"), "--weights", str(multiscan), "--out", str(tmp_path)]
    assert run(line) == 0
    before = capsys.readouterr().out

    assert run([*line, "--resume"]) == 0

    table = "Against the labels beside the scans"
    assert capsys.readouterr().out.partition(table)[2] == before.partition(table)[2]


def test_evaluate_scores_25_classes(dataset, multiscan, tmp_path, capsys):
    result_file = tmp_path / "result.json"
    line = ["evaluate", str(dataset), "--weights", str(multiscan), "--json", str(result_file), "--confusions"]
    assert run([*line, "--taxonomy", "semantickitti-multiscan"]) == 0

    result = json.loads(result_file.read_text())
    assert result["taxonomy"] == "semantickitti-multiscan"
    assert list(result["iou"]) == list(SEMANTICKITTI_MULTISCAN.names[1:])
    # Every point is called a moving car, so its IoU is the share of moving cars.
    assert result["iou"]["moving-car"] == pytest.approx(share_of_moving_cars(dataset))
    assert result["iou"]["car"] == 0 < result["num_points_by_class"]["car"]
    assert result["miou"] == pytest.approx(result["iou"]["moving-car"] / 25)
    assert "mean of all 25 (official)" in capsys.readouterr().out


def test_evaluate_says_where_the_labels_may_not_tell_what_moves(multiscan, tmp_path, capsys):
    root = write_dataset(tmp_path, {"08": 2})
    for path in root.glob("sequences/08/labels/*.label"):
        raw = np.fromfile(path, "<u4")
        np.where(raw & 0xFFFF == 252, 10, raw).astype("<u4").tofile(path)
    assert run(["evaluate", str(root), "--weights", str(multiscan)]) == 0
    assert "no point of" in (said := capsys.readouterr().err)
    assert "is labelled as moving" in said


def test_evaluate_refuses_weights_of_other_classes_than_asked_for(dataset, multiscan, weights, error_of):
    line = ["evaluate", dataset, "--weights"]
    found = error_of(*line, multiscan, "--taxonomy", "semantickitti")
    assert "have taxonomy semantickitti-multiscan, semantickitti was asked for" in found
    assert "was asked for" in error_of(*line, weights, "--taxonomy", "semantickitti-multiscan")
    assert "unknown taxonomy 'nuscenes'" in error_of(*line, weights, "--taxonomy", "nuscenes")


def test_label_bag_writes_class_ids_and_colours_of_moving_objects(multiscan, tmp_path, capsys):
    from pvd_ros.bags import read_clouds

    bag = write_drive(tmp_path / "in", [xyzi_cloud(points_of(1))])
    assert run(["label-bag", str(bag), str(tmp_path / "out"), "--weights", str(multiscan)]) == 0

    (cloud,) = read_clouds(tmp_path / "out", "/lidar/labelled")
    labels = np.array(slow_column(cloud.message, "label"))
    assert set(labels) == {0, MOVING_CAR}  # some points of the cloud are no measurements
    packed = np.array(slow_column(cloud.message, "rgb"), np.float32).view(np.uint32)
    assert set(packed[labels == MOVING_CAR]) == {100 << 16 | 150 << 8 | 245}
    assert "classes found: moving-car 9" in capsys.readouterr().out


def test_label_bag_says_that_weights_of_many_scans_get_single_ones(multiscan, tmp_path, capsys):
    weights = save_multiscan_weights(tmp_path / "many.safetensors", past_scans=2)
    bag = write_drive(tmp_path / "in", [xyzi_cloud(points_of(1))])
    remark = "these weights expect 2 past scans behind each and get single ones"
    for path, says in ((weights, True), (multiscan, False)):
        assert run(["label-bag", str(bag), str(tmp_path / f"out_{says}"), "--weights", str(path)]) == 0
        assert (remark in capsys.readouterr().err) == says
    line = ["label-bag", str(bag), str(tmp_path / "alone"), "--weights", str(weights), "--history", "0"]
    assert run(line) == 0
    assert (
        f"{remark}: labels are worse, and moving objects can hardly be told from still ones; as --history 0 says"
        in (capsys.readouterr().err)
    )


def test_view_says_that_weights_of_many_scans_get_single_ones(dataset, tmp_path, capsys):
    weights = save_multiscan_weights(tmp_path / "many.safetensors", past_scans=2)
    assert (
        run(
            [
                "view",
                str(dataset / "sequences/08/velodyne/000000.bin"),
                "--weights",
                str(weights),
                "--png",
                str(tmp_path),
            ]
        )
        == 0
    )
    assert "note: many: these weights expect 2 past scans behind each and get single ones" in capsys.readouterr().err


def test_view_shows_moving_classes_and_compares_only_networks_of_the_same(
    dataset, multiscan, weights, tmp_path, error_of
):
    scan = str(dataset / "sequences/08/velodyne/000000.bin")
    line = ["view", scan, "--png", str(tmp_path)]
    assert run([*line, "--weights", str(multiscan), "--class", "moving-car"]) == 0
    assert (tmp_path / "000000_moving-car.png").is_file()

    assert "unknown class 'moving-car'" in error_of(*line, "--weights", weights, "--class", "moving-car")
    assert "only networks of the same classes" in error_of(*line, "--weights", weights, "--weights", multiscan)


def test_balance_keeps_the_classes_of_the_weights(dataset, multiscan, tmp_path, capsys):
    out = tmp_path / "balanced.safetensors"
    line = ["balance", str(dataset), "--weights", str(multiscan), "--out", str(out), "--max-scans", "1"]
    assert run(line) == 0

    assert "mean IoU" in capsys.readouterr().out
    assert run(["evaluate", str(dataset), "--weights", str(out), "--taxonomy", "semantickitti-multiscan"]) == 0
