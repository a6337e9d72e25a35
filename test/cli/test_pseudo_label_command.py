"""`pvd pseudo-label`: a user's own scans become a data set that networks learn from beside simulated ones."""

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
from pvd_core.weights import read_facts, save_weights
from training.judge.seen import seen_data


@pytest.fixture(scope="module")
def kitti(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("data") / "kitti", {"02": 3, "05": 9})


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "usual.safetensors"
    save_weights(path, build_model(TINY_MODEL), {"training_data": {"dataset": "streets", "sequences": ["01"]}})
    return path


@pytest.fixture(scope="module")
def own(kitti, weights, tmp_path_factory):
    out = tmp_path_factory.mktemp("own") / "own"
    words = ["pseudo-label", kitti, "--weights", weights, "--out", out, "--votes", "1", "--share", "0.4"]
    words += ["--least-confidence", "0"]
    assert run([str(word) for word in words]) == 0
    return out


def files(root, kind):
    return sorted((root / "sequences").glob(f"*/{kind}/*"))


def test_every_scan_is_there_with_some_of_the_labels_that_the_network_gives(kitti, weights, own, tmp_path):
    assert run(["predict", str(kitti), "--weights", str(weights), "--out", str(tmp_path)]) == 0
    given = [np.fromfile(path, "<u4") for path in sorted(tmp_path.rglob("*.label"))]
    kept = [np.fromfile(path, "<u4") for path in sorted(files(own, "labels"), key=lambda path: path.name)]
    assert len(kept) == len(given) == 12
    for before, after in zip(given, kept, strict=True):
        assert set(after[after != before]) <= {0}
    before, after = np.concatenate(given), np.concatenate(kept)
    for raw in np.unique(before[before > 0]):
        assert (after == raw).sum() >= 0.4 * (before == raw).sum()
    assert (after > 0).mean() < 0.6
    points = [path.read_bytes() for path in sorted(files(own, "velodyne"), key=lambda path: path.name)]
    assert points == [path.read_bytes() for path in files(kitti, "velodyne")]
    assert [path.parts[-3] for path in files(own, "labels")] == ["00"] * 11 + ["08"]
    assert run(["dataset", "check", str(own)]) == 0
    made_of = json.loads((own / "origin.json").read_text())["made_of"]
    assert {each["dataset"]: each["sequences"] for each in made_of} == {"kitti": ["02", "05"], "streets": ["01"]}


def test_several_networks_label_together_and_are_named(kitti, weights, tmp_path):
    other = tmp_path / "other.safetensors"
    model = build_model({"architecture": "minkunet", "channel_ratio": 0.1, "grid": {"voxel_size": 1.0}})
    save_weights(other, model, {"training_data": {"dataset": "roads", "sequences": ["07"]}})
    words = ["pseudo-label", kitti, "--weights", weights, "--weights", other, "--out", tmp_path / "own", "--votes", "2"]
    assert run([str(word) for word in words]) == 0
    origin = json.loads((tmp_path / "own/origin.json").read_text())
    assert [each["file"] for each in origin["weights"]] == [weights.name, other.name]
    assert {each["dataset"] for each in origin["made_of"]} == {"kitti", "streets", "roads"}


def test_a_network_learns_from_them_beside_simulated_scans_and_says_what_it_saw(own, weights, tmp_path, capsys):
    simulated = write_dataset(tmp_path / "simulated", {"00": 2})
    config = tmp_path / "config.yaml"
    config.write_text(f"model: {json.dumps(TINY_MODEL)}\nnum_threads: 1\nepochs: null\nmax_steps: 2\n")
    settings = {
        "initial_weights": weights,
        "mixing.partners": simulated,
        "mixing.laser_mix": 0.5,
        "mixing.polar_mix": 0.5,
        "distillation.settings": json.dumps({"supervoxel_size": [6, 6, 4], "num_points": 32, "num_voxels": 16}),
    }
    words = ["distill", own, "--config", config, "--teacher", weights, "--out", tmp_path / "run"]
    words += [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
    assert run([str(word) for word in words]) == 0
    said = capsys.readouterr().out
    assert f"mixed with {simulated}" in said
    assert f"the labels of {own} are what {weights.name} said" in said
    assert run(["evaluate", str(own), "--weights", str(weights)]) == 0
    assert "tell how far a network agrees with that, not how right it is" in capsys.readouterr().err
    seen = seen_data(read_facts(tmp_path / "run/best.safetensors"))
    found = {each["dataset"]: each["sequences"] for each in seen}
    assert found == {"own": ["00"], "kitti": ["02", "05"], "simulated": ["00"], "streets": ["01"]}


@pytest.mark.parametrize("content", ["{", "[]", '{"weights": 3}'])
def test_a_data_set_that_no_longer_says_who_labelled_it_is_remarked_on(content, own, weights, tmp_path, capsys):
    damaged = shutil.copytree(own, tmp_path / "damaged")
    (damaged / "origin.json").write_text(content)
    assert run(["evaluate", str(damaged), "--weights", str(weights)]) == 0
    assert f"{damaged}/origin.json is damaged" in capsys.readouterr().err


def test_the_clouds_of_a_bag_give_what_their_files_give(weights, tmp_path, capsys):
    scans = [random_scan(np.random.default_rng(seed))[0] for seed in range(2)]
    write_drive(tmp_path / "drive", [xyzi_cloud(points) for points in scans])
    (tmp_path / "scans").mkdir()
    for number, points in enumerate(scans):
        points.tofile(tmp_path / f"scans/{number}.bin")
    for source in ("drive", "scans"):
        words = ["pseudo-label", tmp_path / source, "--weights", weights, "--out", tmp_path / f"of_{source}"]
        assert run([str(word) for word in words]) == 0
    for kind in ("velodyne", "labels"):
        of_bag, of_files = (files(tmp_path / f"of_{source}", kind) for source in ("drive", "scans"))
        assert [path.read_bytes() for path in of_bag] == [path.read_bytes() for path in of_files]
    assert "2 scans show little" in capsys.readouterr().err


def test_what_cannot_become_a_data_set_is_refused_and_nothing_is_written(
    kitti, weights, own, tmp_path, error_of, capsys
):
    one = kitti / "sequences/02/velodyne/000000.bin"
    out = tmp_path / "new"
    assert "1 scan found" in error_of("pseudo-label", one, "--out", out)
    assert "exists already" in error_of("pseudo-label", kitti, "--out", own)
    few = np.tile(np.float32([5, 5, -1.7, 0.5]), (40, 1)) + np.linspace(0, 1, 40, dtype=np.float32)[:, None]
    few.tofile(tmp_path / "few.bin")
    words = ["pseudo-label", kitti, tmp_path / "few.bin", "--weights", weights, "--out", out]
    assert run([str(word) for word in words]) == 2
    assert "expected scans of one sensor" in capsys.readouterr().err.splitlines()[-1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["few.bin"]
