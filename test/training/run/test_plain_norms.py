"""Norms of the weights that a run writes have the statistics of plain training scans."""

import json

import numpy as np
import pytest
import torch
from tiny_dataset import TINY_MODEL, write_dataset, write_scan

from pvd_core.borders.errors import UserError
from pvd_core.models.bare_statistics import statistics_of
from pvd_core.weights import load_model
from training.data.dataset import ScanFolder
from training.run.config import load_config
from training.run.loop import train
from training.run.progress import NoProgress

pytestmark = pytest.mark.usefixtures("without_curves")

_CUBES = {"name": "minkunet-0.25x", "grid": {"voxel_size": 1.0}}
# Far shifts, so that statistics of the training are none of plain scans.
_SHIFTS = ("augmentation.translate_metres=8", "augmentation.shift_height_metres=2")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("drive"), {"00": 3, "08": 1})


def trained(dataset, run_dir, *overrides, model=TINY_MODEL):
    base = (f"dataset={dataset}", f"model={json.dumps(model)}", "num_threads=1", "max_steps=4", *_SHIFTS, *overrides)
    train(load_config(None, base), run_dir)
    losses = [json.loads(line)["loss"] for line in (run_dir / "losses.jsonl").read_text().splitlines()]
    return load_model(run_dir / "last.safetensors")[0], losses


def state_of_the_training(run_dir):
    return torch.load(run_dir / "checkpoint.pt", weights_only=True)["model"]


@pytest.fixture
def notes(monkeypatch):
    """What the runs of a test remark on."""
    texts = []
    monkeypatch.setattr(NoProgress, "note", lambda _, text: texts.append(text))
    return texts


@pytest.mark.parametrize("decay", [0, 0.5])
def test_a_cylinder_has_those_of_its_plain_training_scans(decay, dataset, tmp_path):
    network, _ = trained(dataset, tmp_path / "run", f"ema_decay={decay}")
    folder = ScanFolder(dataset, ["00"])
    clouds = [torch.from_numpy(folder.example(number).points) for number in range(len(folder.scans))]
    features_PF = torch.cat([network.grid.voxelise([cloud]).point_features_PF for cloud in clouds]).double()
    norm = network.point_mlp.in_norm
    torch.testing.assert_close(norm.running_mean.double(), features_PF.mean(0), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(norm.running_var.double(), features_PF.var(0), rtol=1e-5, atol=1e-5)


def test_the_training_goes_on_with_its_own(dataset, tmp_path):
    _, losses = trained(dataset, tmp_path / "plain", "validation.every_steps=1")
    _, expected = trained(dataset, tmp_path / "left", "validation.every_steps=1", "norm_scans=0")
    assert losses == expected


def test_with_0_they_are_those_that_training_left(dataset, tmp_path):
    network, _ = trained(dataset, tmp_path / "run", "norm_scans=0")
    kept = state_of_the_training(tmp_path / "run")
    assert all(torch.equal(tensor, kept[name]) for name, tensor in statistics_of(network).items())


@pytest.mark.parametrize(("setting", "is_measured"), [("null", False), ("2", True)])
def test_a_network_without_a_point_branch_gets_them_on_request(setting, is_measured, dataset, tmp_path):
    network, _ = trained(dataset, tmp_path / "run", f"norm_scans={setting}", model=_CUBES)
    kept = state_of_the_training(tmp_path / "run")
    same = [np.allclose(tensor, kept[name]) for name, tensor in statistics_of(network).items()]
    assert not any(same) if is_measured else all(same)


def test_one_scan_is_measured_once_however_many_are_asked_for(dataset, tmp_path, notes):
    few, _ = trained(dataset, tmp_path / "few", "max_scans=1", "norm_scans=1")
    many, _ = trained(dataset, tmp_path / "many", "max_scans=1", "norm_scans=1000")
    own, other = statistics_of(few), statistics_of(many)
    assert all(torch.equal(tensor, other[name]) for name, tensor in own.items())
    assert len([note for note in notes if "measured on 1 training scan as they are" in note]) == 1


def test_scans_too_small_to_measure_leave_those_of_the_training(tmp_path, notes):
    dataset = write_dataset(tmp_path / "drive", {"08": 1})
    points = np.float32([[5, 5, -1, 0.3], [5, 5.01, -1, 0.4]])
    write_scan(dataset, "00", 0, points, np.full(2, 40, np.uint32))
    network, losses = trained(dataset, tmp_path / "run")
    assert len(losses) == 4
    assert any("the norms keep the statistics that training left" in note for note in notes)
    kept = state_of_the_training(tmp_path / "run")
    assert all(torch.equal(tensor, kept[name]) for name, tensor in statistics_of(network).items())


def test_a_negative_number_is_refused(dataset):
    with pytest.raises(UserError, match="norm_scans is -1: expected at least 0"):
        load_config(None, [f"dataset={dataset}", "norm_scans=-1"])
