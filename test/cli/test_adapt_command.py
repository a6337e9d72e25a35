"""`pvd adapt`: from files and bags to weights and a report; what it refuses, and what it never does in silence."""

import json
import shutil

import numpy as np
import pytest
import torch
from bags import write_drive
from ros_clouds import xyzi_cloud
from tiny_dataset import TINY_MODEL, random_scan, write_dataset

from pvd_cli.main import run
from pvd_core.models import build_model
from pvd_core.weights import load_model, read_facts, save_weights
from pvd_ros.bags import BagWriter

SCANS = {"00": 2, "05": 1}


@pytest.fixture
def dataset(tmp_path):
    return write_dataset(tmp_path / "kitti", SCANS)


@pytest.fixture
def weights(tmp_path):
    torch.manual_seed(0)
    facts = {"training_data": {"dataset": "streets", "sequences": ["01"]}}
    save_weights(tmp_path / "usual.safetensors", build_model(TINY_MODEL), facts)
    return tmp_path / "usual.safetensors"


@pytest.fixture
def adapt(weights, tmp_path):
    """Runs the command; (exit code, path of the new weights, report or None)."""

    def call(*arguments, out="new.safetensors"):
        out = tmp_path / out
        code = run(["adapt", *map(str, arguments), "--weights", str(weights), "--out", str(out)])
        report = out.with_name(f"{out.stem}_report") / "report.json"
        return code, out, json.loads(report.read_text()) if report.exists() else None

    return call


def state_of(path):
    return load_model(path)[0].state_dict()


def same(one, other):
    return all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def write_labels_of(network_path, dataset, folder):
    assert run(["predict", str(dataset), "--weights", str(network_path), "--out", str(folder)]) in (0, 4)
    return folder


def test_a_folder_gives_weights_that_say_what_was_done_and_a_report_with_pictures(dataset, weights, adapt, capsys):
    code, out, report = adapt(dataset, "--strength", "0.01")
    assert code == 0
    assert not same(state_of(weights), state_of(out))
    facts = read_facts(out)
    assert facts["adapted"] == [
        {
            "method": "norms", "norms": "points", "num_norms": 2, "strength": 0.01,
            "scans": 3, "points": 6000, "without_intensity": False,
        }
    ]  # fmt: skip
    assert {"dataset": "kitti", "sequences": ["00", "05"]} in facts["ancestors"]
    assert {"dataset": "streets", "sequences": ["01"]} in facts["ancestors"]
    assert report["scans"] == 3
    assert sum(each["after"] for each in report["classes"].values()) == report["points"] == 6000
    assert len(list(out.with_name("new_report").glob("*.png"))) == 3
    assert "without labels nobody knows whether this is better" in capsys.readouterr().out


def test_a_bag_and_the_files_of_its_scans_give_the_same_weights(weights, adapt, tmp_path):
    scans = [random_scan(np.random.default_rng(seed))[0] for seed in range(2)]
    files = tmp_path / "scans"
    files.mkdir()
    for number, points in enumerate(scans):
        np.save(files / f"{number}.npy", points)
    bag = write_drive(tmp_path / "bag", [xyzi_cloud(points, 10**18 + n) for n, points in enumerate(scans)])
    _, from_files, _ = adapt(files, out="files.safetensors")
    code, from_bag, _ = adapt(bag, "--topic", "/lidar", out="bag.safetensors")
    assert code in (0, 4)
    assert same(state_of(from_files), state_of(from_bag))
    assert not same(state_of(weights), state_of(from_bag))


def test_more_scans_than_asked_for_are_spread_over_the_input(dataset, adapt):
    _, out, report = adapt(dataset, "--max-scans", "2")
    assert report["scans"] == read_facts(out)["adapted"][0]["scans"] == 2


def test_labels_that_say_worse_leave_a_report_and_no_weights(dataset, weights, adapt, tmp_path, capsys):
    truth = write_labels_of(weights, dataset, tmp_path / "truth")
    code, out, report = adapt(dataset, "--labels", truth, "--strength", "1")
    assert code == 4
    assert not out.exists()
    assert report["truth"]["is_worse"]
    assert report["truth"]["scans"] == 3
    assert "by the labels this is worse" in capsys.readouterr().err
    code, out, report = adapt(dataset, "--strength", "0.1")
    assert code == 0
    assert out.exists()
    assert report["truth"] is None


def test_labels_that_say_better_are_said_with_both_scores(dataset, adapt, tmp_path, capsys):
    _, target, _ = adapt(dataset, "--strength", "0.3", out="target.safetensors")
    truth = write_labels_of(target, dataset, tmp_path / "truth")
    (truth / "sequences/05/predictions/000000.label").unlink()
    capsys.readouterr()
    _, out, report = adapt(dataset, "--labels", truth, "--strength", "0.3")
    assert out.exists()
    assert report["truth"]["scans"] == 2
    assert report["truth"]["after"]["accuracy"] == pytest.approx(1)
    assert "-> 100.0 % on 2 scans" in capsys.readouterr().out


def test_labels_that_do_not_fit_are_refused(dataset, adapt, tmp_path, capsys):
    labels = tmp_path / "labels"
    labels.mkdir()
    code, _, report = adapt(dataset, "--labels", labels)
    assert code == 2
    assert report is None
    assert "no label in" in capsys.readouterr().err
    np.zeros(7, "<u4").tofile(labels / "000000.label")
    code, out, _ = adapt(dataset, "--labels", labels, out="other.safetensors")
    assert code == 2
    assert not out.exists()
    assert "000000.label has 7 labels" in capsys.readouterr().err


def test_labels_that_mostly_change_are_said_and_told_by_the_exit_code(dataset, adapt, monkeypatch, capsys):
    monkeypatch.setattr("training.adapt.comparison.LEAST_AGREEMENT", 1.1)
    code, out, _ = adapt(dataset)
    assert code == 4
    assert out.exists()
    assert "of the labels stayed" in capsys.readouterr().err


def test_scans_for_validation_are_remarked_on(adapt, tmp_path, capsys):
    adapt(write_dataset(tmp_path / "held", {"08": 1, "00": 1}))
    assert "08 of held are not for training" in capsys.readouterr().err


def test_scans_of_several_sensors_are_refused(dataset, adapt, capsys):
    velodyne = dataset / "sequences/00/velodyne"
    points = np.fromfile(velodyne / "000000.bin", "<f4").reshape(-1, 4)
    points[:, 3] *= 255
    points.tofile(velodyne / "000001.bin")
    code, out, report = adapt(dataset)
    assert code == 2
    assert not out.exists()
    assert report is None
    assert "000001.bin has" in capsys.readouterr().err


def test_what_holds_no_clouds_is_refused(adapt, tmp_path, capsys):
    with BagWriter(tmp_path / "empty"):
        pass
    (tmp_path / "nothing").mkdir()
    for path, words in {"empty": "no topic", "nothing": "expected a bag, or scans", "absent": "no such file"}.items():
        code, out, _ = adapt(tmp_path / path)
        assert code == 2
        assert not out.exists()
        assert words in capsys.readouterr().err


def test_weights_and_reports_that_exist_stay(dataset, weights, adapt, tmp_path, capsys):
    assert run(["adapt", str(dataset), "--weights", str(weights), "--out", str(weights)]) == 2
    (tmp_path / "new_report").mkdir()
    (tmp_path / "new_report/mine.txt").write_text("mine")
    assert adapt(dataset)[0] == 2
    assert "new_report exists already" in capsys.readouterr().err


def test_an_interrupt_leaves_nothing(dataset, adapt, tmp_path, monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("training.adapt.comparison.Comparison.add", interrupted)
    code, out, report = adapt(dataset)
    assert code == 130
    assert not out.exists()
    assert report is None
    assert "no weights were written" in capsys.readouterr().err
    monkeypatch.undo()
    assert adapt(dataset)[0] in (0, 4)


def test_weights_that_expect_past_scans_are_refused(dataset, adapt, weights, tmp_path, capsys):
    model, facts = load_model(weights)
    save_weights(tmp_path / "many.safetensors", model, {**facts, "past_scans": 2, "scan_stride": 1})
    shutil.move(tmp_path / "many.safetensors", weights)
    assert adapt(dataset)[0] == 2
    assert "expects past scans behind each" in capsys.readouterr().err
