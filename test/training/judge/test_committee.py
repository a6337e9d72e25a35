"""Several networks that label together: log-probabilities are summed, and scores say what each of them has seen."""

import functools
import json

import numpy as np
import pytest
import torch
from ros_weights import tiny_weights_with_time
from tiny_dataset import TINY_MODEL, write_dataset

from pvd_cli.main import run
from pvd_core.borders.errors import UserError
from pvd_core.clouds.history import PastScans
from pvd_core.committee import Committee, segmenter_of
from pvd_core.models import build_model
from pvd_core.models.bare_statistics import statistics_of
from pvd_core.programs.message import ArrayLayout
from pvd_core.segmenter import Segmenter
from pvd_core.weights import load_model, save_weights
from pvd_core.weights.facts import past_scans_facts
from training.data.augmentation.votes import VOTES, moved
from training.data.dataset import ScanFolder
from training.judge.votes import segment_by_votes

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


@pytest.fixture(scope="module")
def both(committee):
    return segmenter_of(committee, "cpu")


@pytest.mark.parametrize("num_votes", [1, 2])
def test_labels_confidences_and_entropies_are_those_of_the_mean_log_probabilities(data, both, num_votes):
    points = ScanFolder(data, "valid").points(0)
    points[5] = np.nan
    measured = np.delete(points, 5, axis=0)
    mean = torch.zeros(len(measured), 19)
    for vote in VOTES[:num_votes]:
        for member in both.members:
            batch = member.batch_of(moved(measured, vote))
            scores = member.run_network(batch).scores_of_points(batch.point_to_voxel_P)
            mean += scores[:, 1:].log_softmax(dim=1) / (2 * num_votes)
    probabilities = mean.softmax(dim=1)
    views = [functools.partial(moved, vote=vote) for vote in VOTES[:num_votes]]
    found = both.segment_views(points, views, with_entropy=True)
    voted = segment_by_votes(both, points, num_votes)
    assert (voted.labels == found.labels).all()
    best, labels = probabilities.max(dim=1)
    assert (np.delete(found.labels, 5) == labels.numpy() + 1).mean() > 0.999  # sums in another order
    assert np.delete(found.confidence, 5) == pytest.approx(best.numpy(), abs=1e-5)
    entropy = torch.special.entr(probabilities).sum(dim=1).numpy() / np.log(19)
    assert np.delete(found.entropy, 5) == pytest.approx(entropy, abs=1e-5)
    assert (found.labels[5], found.confidence[5], found.entropy[5]) == (0, 0, 0)
    assert len({each.segment(points).labels.tobytes() for each in (both, *both.members)}) == 3


def test_a_committee_of_one_labels_as_its_member(data, both):
    points = ScanFolder(data, "valid").points(0)
    for member in both.members:
        alone, found = member.segment(points, with_entropy=True), Committee([member]).segment(points, with_entropy=True)
        assert (found.labels == alone.labels).mean() > 0.999
        assert found.confidence == pytest.approx(alone.confidence, abs=1e-5)
        assert found.entropy == pytest.approx(alone.entropy, abs=1e-5)


def test_clouds_without_intensity_are_labelled_by_each_members_statistics_of_such(data, committee):
    members = [load_model(path)[0] for path in committee]
    for network in members:
        network.bare_statistics = {name: each + 1 for name, each in statistics_of(network).items()}
    both = Committee([Segmenter(network, {}, "cpu") for network in members])
    points = ScanFolder(data, "valid").points(0)
    points[:, 3] = 0.5
    sums = sum(each.log_probabilities(points) for each in both.members)
    usual = sum(Segmenter(load_model(path)[0], {}, "cpu").log_probabilities(points) for path in committee)
    assert (both.segment(points).labels == sums.argmax(dim=1).numpy() + 1).mean() > 0.999
    assert (sums - usual).abs().max() > 0.1


def test_the_bytes_of_a_message_are_labelled_as_its_points(data, both):
    points = ScanFolder(data, "valid").points(0)
    found = both.segment_bytes(points.tobytes(), ArrayLayout(len(points)), 0.5)
    assert (found.labels == both.segment(points * np.float32([1, 1, 1, 0.5])).labels).all()


def test_no_point_and_one_point_are_labelled_together(both):
    empty = both.segment(np.zeros((0, 4), np.float32), with_entropy=True)
    assert (len(empty.labels), len(empty.confidence), len(empty.entropy)) == (0, 0, 0)
    assert both.segment(np.full((3, 4), np.nan, np.float32)).labels.tolist() == [0, 0, 0]
    assert both.segment(np.float32([[1, 2, 0, 0.5]])).labels[0] > 0
    with pytest.raises(ValueError, match="expected \\(N, 4\\)"):
        both.segment(np.zeros((4, 3), np.float32))


def test_evaluation_scores_the_committee_and_says_what_all_of_it_has_seen(data, committee, both, tmp_path, capsys):
    words = ["evaluate", str(data), *named(committee), "--device", "cpu"]
    assert run([*words, "--json", str(tmp_path / "result.json")]) == 0
    result = json.loads((tmp_path / "result.json").read_text())
    scans = map(ScanFolder(data, "valid").example, range(2))
    pairs = [(both.segment(each.points).labels, each.labels) for each in scans]
    right = sum(((labels == truth) & (truth > 0)).sum() for labels, truth in pairs)
    assert result["accuracy"] == pytest.approx(right / sum((truth > 0).sum() for _, truth in pairs))
    assert 0 < result["calibration"]["ece"] < 1
    assert "kitti 00, 08" in result["trained_on"]
    assert result["seen_in_training"] == ["08"]
    assert "no score on unseen scans" in capsys.readouterr().err


def test_networks_that_do_not_label_the_same_are_refused(data, committee, tmp_path, capsys):
    other = tmp_path / "moving.safetensors"
    model = {**TINY_MODEL, "num_classes": 26}
    save_weights(other, build_model(model), {"taxonomy": "semantickitti-multiscan"})
    assert run(["evaluate", str(data), *named([committee[0], other])]) == 2
    said = capsys.readouterr().err
    first = f"{committee[0]} labels semantickitti from 0 past scans with stride 1"
    assert f"{first} and {other} semantickitti-multiscan from 0 past scans with stride 1: only networks that" in said
    with pytest.raises(UserError, match="are the same"):
        segmenter_of([committee[0]] * 2, "cpu")
    assert run(["evaluate", str(data), *named([committee[0], committee[0]])]) == 2
    assert "are the same: name each network once" in capsys.readouterr().err


def test_a_network_that_takes_the_time_of_points_votes_with_none_that_does_not(tmp_path):
    timed = Segmenter.from_weights(tiny_weights_with_time(tmp_path), "cpu")
    facts = past_scans_facts(PastScans(timed.past_scans.past, timed.past_scans.stride))
    with pytest.raises(UserError, match=r"network 1 .* the time of points and network 2 .* with stride 1: only"):
        Committee([timed, Segmenter(build_model(MINKUNET), facts, "cpu")])
