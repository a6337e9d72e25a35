"""Labels of clouds without intensity: the command that lets weights give them, and how good they are."""

import numpy as np
import pytest
import torch
from tiny_dataset import TINY_MODEL, write_dataset

from pvd_cli.main import run
from pvd_core import default_weights
from pvd_core.models import build_model
from pvd_core.segmenter import Segmenter
from pvd_core.weights import load_model, save_weights
from training.data.dataset import ScanFolder, usable_points


@pytest.fixture
def dataset(tmp_path):
    return write_dataset(tmp_path / "data", {"00": 2, "01": 1, "08": 1})


@pytest.fixture
def weights(tmp_path):
    torch.manual_seed(0)
    save_weights(tmp_path / "usual.safetensors", build_model(TINY_MODEL))
    return tmp_path / "usual.safetensors"


def test_the_command_adds_statistics_and_changes_nothing_else(dataset, weights, tmp_path):
    out = tmp_path / "both.safetensors"
    assert run(["without-intensity", str(dataset), "--weights", str(weights), "--out", str(out)]) == 0
    (before, _), (after, facts) = load_model(weights), load_model(out)
    assert all(torch.equal(tensor, after.state_dict()[name]) for name, tensor in before.state_dict().items())
    assert before.bare_statistics is None
    assert facts["without_intensity"] == {"dataset": "data", "sequences": ["00", "01"], "scans": 3}
    (points,) = usable_points(ScanFolder(dataset, "valid").points(0))
    with_intensity = [Segmenter(model).segment(points) for model in (before, after)]
    assert np.array_equal(*(result.confidence for result in with_intensity))
    points[:, 3] = 0
    without = [Segmenter(model).segment(points) for model in (before, after)]
    assert not np.array_equal(*(result.confidence for result in without))


def test_existing_files_stay_and_held_out_scans_are_named(dataset, weights, tmp_path, capsys):
    arguments = ["without-intensity", str(dataset), "--weights", str(weights), "--out"]
    assert run([*arguments, str(weights)]) == 2
    assert "exists already" in capsys.readouterr().err
    assert run([*arguments, str(tmp_path / "new.safetensors"), "--split", "08"]) == 0
    assert "08 are not for training" in capsys.readouterr().err


def test_shipped_weights_label_real_scans_nearly_as_well_without_intensity(shared_data):
    folder = ScanFolder(shared_data / "semantickitti", ("00", "07", "08"))
    segmenter = Segmenter.from_weights(default_weights())
    num_right, num_points = {"as measured": 0, "none": 0}, 0
    for index in (0, 12, 15):
        points, truth = usable_points(*folder.labelled_points(index))
        num_points += np.count_nonzero(truth)
        for kind in num_right:
            labels = segmenter.segment(points * np.float32([1, 1, 1, kind == "as measured"])).labels
            num_right[kind] += np.count_nonzero((labels == truth) & (truth > 0))
    assert num_right["as measured"] > 0.62 * num_points
    assert num_right["none"] > 0.55 * num_points
