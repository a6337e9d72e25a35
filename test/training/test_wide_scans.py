"""A scan too wide for a network's voxels is named by every command that reads many."""

import json

import numpy as np
import pytest
from tiny_dataset import random_scan, write_scan
from wide_scans import FINE_MODEL, fine_weights, wide_points

from pvd_cli.main import run

pytestmark = pytest.mark.usefixtures("without_curves")


@pytest.fixture
def dataset(tmp_path):
    """Sequences 08 and 11, whose second scan is too wide."""
    for sequence in ("08", "11"):
        for frame in range(2):
            points, labels = random_scan(np.random.default_rng(frame))
            points = np.concatenate((wide_points(), points)) if frame else points
            labels = np.concatenate((labels[:2], labels)) if frame else labels
            write_scan(tmp_path / "drive", sequence, f"{frame:06d}", points, labels)
    return tmp_path / "drive"


@pytest.mark.parametrize(
    ("command", "options", "name"),
    [
        ("evaluate", [], "08/velodyne/000001.bin"),
        ("evaluate", ["--votes", "2"], "08/velodyne/000001.bin"),
        ("calibrate", ["--out", "new.safetensors"], "08/velodyne/000001.bin"),
        ("without-intensity", ["--split", "08", "--out", "new.safetensors"], "scan 2"),
        ("submit", ["--out", "all.zip", "--allow-missing"], "11/velodyne/000001.bin"),
    ],
)
def test_a_scan_too_wide_for_the_voxels_is_named(command, options, name, dataset, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run([command, str(dataset), "--weights", str(fine_weights(tmp_path)), *options]) == 2
    assert f"{name}: the points extend over" in capsys.readouterr().err


def test_training_names_the_scans_of_a_batch_that_is_too_wide(dataset, tmp_path, capsys):
    settings = [f"model={json.dumps(FINE_MODEL)}", "sequences=08", "validation.sequences=11", "max_steps=2"]
    overrides = [option for setting in (*settings, "batch_size=2") for option in ("--set", setting)]
    assert run(["train", str(dataset), "--out", str(tmp_path / "run"), *overrides]) == 2
    message = capsys.readouterr().err
    assert "08/000001" in message
    assert ": the points extend over" in message
