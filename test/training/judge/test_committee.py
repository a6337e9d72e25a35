"""Several networks that label together: log-probabilities are summed, and scores say what each of them has seen."""

import json

import numpy as np
import pytest
import torch
from tiny_dataset import TINY_MODEL, write_dataset

from pvd_cli.main import run
from pvd_core.models import build_model
from pvd_core.segmenter import Segmenter
from pvd_core.weights import save_weights
from training.data.augmentation.votes import VOTES, moved
from training.data.dataset import ScanFolder
from training.judge.votes import labels_by_vote, log_probabilities, votes

MINKUNET = {"architecture": "minkunet", "channel_ratio": 0.1, "grid": {"voxel_size": 1.0}}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("data") / "kitti", {"02": 2, "08": 2})


@pytest.fixture(scope="module")
def committee(tmp_path_factory):
    """Two weights files, of two families; the second has learned from 08."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    for model, path, sequence in ((TINY_MODEL, "a", "00"), (MINKUNET, "b", "08")):
        facts = {"training_data": {"dataset": "kitti", "sequences": [sequence]}}
        save_weights(folder / f"{path}.safetensors", build_model(model), facts)
    return [folder / "a.safetensors", folder / "b.safetensors"]


def named(committee):
    return [word for path in committee for word in ("--weights", str(path))]


@pytest.mark.parametrize("num_votes", [1, 2])
def test_labels_and_confidences_are_those_of_the_mean_log_probabilities(data, committee, num_votes):
    segmenters = [Segmenter.from_weights(path, "cpu") for path in committee]
    points = ScanFolder(data, "valid").points(0)
    points[5] = np.nan
    measured = np.delete(points, 5, axis=0)
    views = [moved(measured, vote) for vote in VOTES[:num_votes]]
    with torch.no_grad():
        each = torch.stack([log_probabilities(segmenter, view) for segmenter in segmenters for view in views])
    mean = each.mean(dim=0)
    probabilities = mean.softmax(dim=1)
    found = votes(segmenters, points, num_votes)
    labels, confidence = np.delete(found.labels, 5), np.delete(found.confidence, 5)
    assert (labels == probabilities.argmax(dim=1).numpy() + 1).mean() > 0.999  # sums in another order
    assert confidence == pytest.approx(probabilities.max(dim=1).values.numpy(), abs=1e-5)
    assert (found.labels[5], found.confidence[5]) == (0, 0)
    assert len(set(map(bytes, (found.labels, *(votes([one], points, 1).labels for one in segmenters))))) == 3


def test_no_point_and_one_point_are_labelled_together(committee):
    segmenters = [Segmenter.from_weights(path, "cpu") for path in committee]
    assert len(labels_by_vote(segmenters, np.zeros((0, 4), np.float32), 1)) == 0
    assert labels_by_vote(segmenters, np.float32([[1, 2, 0, 0.5]]), 1)[0] > 0


def test_evaluation_scores_the_committee_and_says_what_all_of_it_has_seen(data, committee, tmp_path, capsys):
    words = ["evaluate", str(data), *named(committee), "--device", "cpu"]
    assert run([*words, "--json", str(tmp_path / "result.json")]) == 0
    result = json.loads((tmp_path / "result.json").read_text())
    segmenters, folder = [Segmenter.from_weights(path, "cpu") for path in committee], ScanFolder(data, "valid")
    pairs = [(labels_by_vote(segmenters, each.points, 1), each.labels) for each in map(folder.example, range(2))]
    right = sum(((labels == truth) & (truth > 0)).sum() for labels, truth in pairs)
    assert result["accuracy"] == pytest.approx(right / sum((truth > 0).sum() for _, truth in pairs))
    assert result["calibration"] is None
    assert "kitti 00, 08" in result["trained_on"]
    assert result["seen_in_training"] == ["08"]
    assert "no score on unseen scans" in capsys.readouterr().err


def test_networks_that_do_not_label_the_same_are_refused(data, committee, tmp_path, capsys):
    other = tmp_path / "moving.safetensors"
    model = {**TINY_MODEL, "num_classes": 26}
    save_weights(other, build_model(model), {"taxonomy": "semantickitti-multiscan"})
    assert run(["evaluate", str(data), *named([committee[0], other])]) == 2
    assert "semantickitti-multiscan from 0 past scans with stride 1: both must do the same" in capsys.readouterr().err
    assert run(["evaluate", str(data), *named([committee[0], committee[0]])]) == 2
    assert "named twice" in capsys.readouterr().err
