"""`pvd simulate`, `label-bag` and `evaluate`, one after the other, as people use them."""

import json

import numpy as np

from pvd_cli.main import run
from pvd_core.taxonomy import raw_from_class_ids


def test_simulated_drive_goes_through_bag_labelling_and_evaluation(weights, tmp_path, capsys, error_of):
    data, bag, labelled = tmp_path / "data", tmp_path / "bag", tmp_path / "labelled"
    assert run(["simulate", str(data), "--scans", "2", "--seed", "3", "--bag", str(bag), "--topic", "/lidar"]) == 0
    assert len(list((data / "sequences/08/velodyne").glob("*.bin"))) == 2
    assert run(["label-bag", str(bag), str(labelled), "--weights", str(weights), "--topic", "/lidar"]) == 0
    assert "2 of 2 clouds labelled" in capsys.readouterr().out
    result_file = tmp_path / "deep" / "result.json"
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
    np.testing.assert_array_equal(raw_from_class_ids(labels), np.fromfile(out / "000000.label", "<u4"))
