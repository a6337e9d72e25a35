"""`pvd dataset check`, and the check at the start of the commands that score and label."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from tiny_dataset import random_scan, write_dataset, write_scan

from pvd_cli.main import run
from training.data.scan_list import SPLITS


@pytest.fixture
def data(tmp_path):
    return write_dataset(tmp_path / "data", {"00": 3, "08": 2})


def spoil(data, sequence="00", frame=1):
    path = data / "sequences" / sequence / "labels" / f"{frame:06d}.label"
    np.full(2000, 90, "<u4").tofile(path)
    return path


def test_good_folder_ends_with_a_table_and_exit_code_0(data, capsys):
    assert run(["dataset", "check", str(data)]) == 0
    output = capsys.readouterr().out
    assert "6,000" in output
    assert "5 scans, 0 errors, 1 remark\n" in output


def test_doubtful_files_are_listed_with_exit_code_1_and_all_of_them_in_the_json(data, tmp_path, capsys):
    path = spoil(data)
    assert run(["dataset", "check", str(data), "--json", str(tmp_path / "report.json")]) == 1
    assert f"error: {path}: unknown raw label ids 90 (2,000 points)" in capsys.readouterr().out
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["num_errors"] == 1
    assert report["sequences"]["00"]["num_errors"] == 1
    (error,) = [finding for finding in report["findings"] if finding["is_error"]]
    assert (error["kind"], error["where"]) == ("label ids", str(path))


def test_pipes_in_place_of_files_are_named_and_not_waited_for(data, project_root):
    """In a process of its own, for waiting would have no end."""
    folder = data / "sequences" / "00"
    (folder / "velodyne" / "000001.bin").unlink()
    for pipe in ("velodyne/000001.bin", "poses.txt"):
        os.mkfifo(folder / pipe)
    command = [sys.executable, "-m", "pvd_cli", "dataset", "check", str(data)]
    checked = subprocess.run(command, cwd=project_root, capture_output=True, text=True, timeout=180)
    assert checked.returncode == 1, checked.stderr
    assert "000001.bin: is no file; move it away" in checked.stdout
    assert "poses.txt: is no file" in checked.stdout


def test_only_the_sequences_that_are_named_are_checked(data, capsys):
    spoil(data)
    assert run(["dataset", "check", str(data), "--split", "08"]) == 0
    assert run(["dataset", "check", str(data), "--split", "77"]) == 2
    assert "no sequence 77; found 00, 08" in capsys.readouterr().err


def test_what_is_no_data_set_is_said_in_one_line(tmp_path, error_of):
    assert "does not exist" in error_of("dataset", "check", tmp_path / "none")
    assert "no folder 'sequences'" in error_of("dataset", "check", tmp_path)
    (tmp_path / "sequences").mkdir()
    assert "no sequence at all" in error_of("dataset", "check", tmp_path)
    assert "columns is '2'" in error_of("dataset", "check", tmp_path, "--columns", "2")
    assert "`pvd dataset check FOLDER`" in error_of("dataset", "simulated", tmp_path, "--json", tmp_path / "j")


def test_evaluating_lists_every_doubtful_file_before_it_starts(data, weights, error_of):
    first, second = spoil(data, "08", 0), spoil(data, "08", 1)
    message = error_of("evaluate", data, "--weights", weights)
    assert f"{data} cannot be used, 2 errors" in message
    assert str(first) in message
    assert str(second) in message


def test_evaluating_says_what_the_weights_were_trained_on(data, weights, capsys):
    assert run(["evaluate", str(data), "--weights", str(weights)]) == 0
    assert "the weights file does not say what it was trained on" in capsys.readouterr().out


def test_clouds_that_networks_do_not_expect_are_remarked_on_once_a_sequence(data, capsys):
    for path in data.glob("sequences/00/velodyne/*.bin"):
        points = np.fromfile(path, "<f4").reshape(-1, 4)
        (points * (1, 1, 1, 255) + (4500, 0, 0, 0)).astype("<f4").tofile(path)
    assert run(["dataset", "check", str(data)]) == 1
    output = capsys.readouterr().out
    first = data / "sequences/00/velodyne/000000.bin"
    assert f"error: {first}: the points lie around x 4,5" in output
    assert f"remark: {first}: intensity reaches 2" in output
    assert "more of this kind" not in output


def test_tilted_clouds_are_remarked_on(data, capsys):
    for path in data.glob("sequences/08/velodyne/*.bin"):
        points = np.fromfile(path, "<f4").reshape(-1, 4)
        points[:, 2] += np.float32(np.tan(np.radians(12))) * points[:, 0]
        points.tofile(path)
    assert run(["dataset", "check", str(data), "--split", "08"]) == 0
    assert "the ground around the sensor is tilted by 12 degrees" in capsys.readouterr().out


def test_evaluating_scans_without_intensity_names_three_columns_and_reads_them(data, weights, error_of):
    for path in data.glob("sequences/*/velodyne/*.bin"):
        np.fromfile(path, "<f4").reshape(-1, 4)[:, :3].tofile(path)
    for line in (["evaluate", data, "--weights", weights], ["dataset", "check", data]):
        words = [str(word) for word in line]
        assert run(words) != 0
        assert run([*words, "--columns", "3"]) == 0


def float64_set(folder, sequences):
    for sequence in sequences:
        points, labels = random_scan(np.random.default_rng(int(sequence)))
        write_scan(folder, sequence, "000000", points, labels)
        points.astype("<f8").tofile(folder / "sequences" / sequence / "velodyne" / "000000.bin")
    return folder


def test_evaluating_reads_the_columns_that_its_error_names(tmp_path, weights, error_of, capsys):
    data, usual = float64_set(tmp_path / "data", ["08"]), write_dataset(tmp_path / "usual", {"08": 1})
    points, labels = random_scan(np.random.default_rng(8))
    write_scan(usual, "08", "000000", points, labels)
    line = ["evaluate", str(data), "--weights", str(weights)]
    assert "give --columns 4xfloat64" in error_of(*line)
    results = []
    for name, words in (("wide", [*line, "--columns", "4xfloat64"]), ("usual", ["evaluate", str(usual), *line[2:]])):
        assert run([*words, "--json", str(tmp_path / f"{name}.json")]) == 0
        results.append(json.loads((tmp_path / f"{name}.json").read_text()))
    assert results[0]["iou"] == results[1]["iou"]
    assert results[0]["labels_by_truth"] == results[1]["labels_by_truth"]


def test_submitting_checks_the_test_scans_and_reads_other_columns(tmp_path, weights, error_of, capsys):
    data, out = float64_set(tmp_path / "data", SPLITS["test"]), tmp_path / "out.zip"
    line = ["submit", str(data), "--weights", str(weights), "--out", str(out)]
    assert "give --columns 4xfloat64" in error_of(*line)
    assert not out.exists()
    assert run([*line, "--columns", "4xfloat64"]) == 0
    assert "passes the rules" in capsys.readouterr().out
