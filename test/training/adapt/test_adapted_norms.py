"""Statistics move part of the way to those of unlabelled scans, and only where they belong."""

import numpy as np
import pytest
import torch
from tiny_dataset import TINY_MODEL, random_scan

from pvd_core.borders.errors import UserError
from pvd_core.models import build_model
from pvd_core.models.bare_statistics import statistics_of
from training.adapt import strength as strength_module
from training.adapt.comparison import Comparison
from training.adapt.norms import measured_norms, take_statistics
from training.adapt.strength import STRENGTHS, carefully_moved


@pytest.fixture
def network():
    torch.manual_seed(0)
    return build_model(TINY_MODEL).eval()


@pytest.fixture(scope="module")
def scans():
    return [torch.from_numpy(random_scan(np.random.default_rng(seed))[0]) for seed in range(2)]


def copied(network):
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def test_strength_0_keeps_and_1_replaces_and_a_half_is_in_the_middle(network, scans):
    own = statistics_of(network)["point_mlp.in_norm.running_mean"]
    kept, middle, replaced = (
        statistics_of(measured_norms(network, scans, 2).moved(strength).after)["point_mlp.in_norm.running_mean"]
        for strength in (0.0, 0.5, 1.0)
    )
    assert torch.equal(kept, own)
    assert not torch.equal(replaced, own)
    torch.testing.assert_close(middle, (own + replaced) / 2)


def test_only_the_norms_of_the_point_branch_change_by_default(network, scans):
    before = copied(network)
    take_statistics(network, measured_norms(network, scans, 2).moved(0.5))
    changed = {name for name, tensor in network.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed
    assert all(name.startswith("point_mlp.") and "running_" in name for name in changed)


def test_scans_without_intensity_change_the_statistics_for_such_clouds_alone(network, scans):
    before = copied(network)
    bare = [torch.cat((points[:, :3], torch.zeros(len(points), 1)), dim=1) for points in scans]
    take_statistics(network, measured_norms(network, bare, 2, are_bare=True).moved(0.5))
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert network.bare_statistics.keys() == statistics_of(network).keys()
    name = "point_mlp.in_norm.running_mean"
    assert not torch.equal(network.bare_statistics[name], before[name])


def test_too_few_points_are_refused(network, scans):
    with pytest.raises(UserError, match="2 scans with 600 measured points in all: expected at least 1000"):
        measured_norms(network, [points[:300] for points in scans], 2)
    with pytest.raises(UserError, match="1 scan with 0 measured points"):
        measured_norms(network, [scans[0][:1]], 1)


@pytest.mark.parametrize(("least", "expected"), [(0.0, STRENGTHS[0]), (1.1, STRENGTHS[-1])])
def test_statistics_are_moved_as_far_as_enough_labels_stay(network, scans, monkeypatch, least, expected):
    monkeypatch.setattr(strength_module, "LEAST_AGREEMENT", least)
    clouds = [points.numpy() for points in scans]
    adapted = carefully_moved(measured_norms(network, scans, 2), clouds, torch.device("cpu"))
    assert adapted.facts["strength"] == expected


@pytest.mark.parametrize(("least", "expected"), [(0.0, STRENGTHS[0]), (1.1, STRENGTHS[-1])])
def test_a_network_without_a_point_branch_has_a_limit_of_its_own(scans, monkeypatch, least, expected):
    monkeypatch.setattr(strength_module, "LEAST_AGREEMENT_WITHOUT_BRANCH", least)
    minkunet = build_model({"architecture": "minkunet", "channel_ratio": 0.125, "grid": {"voxel_size": 1.0}}).eval()
    clouds = [points.numpy() for points in scans]
    adapted = carefully_moved(measured_norms(minkunet, scans, 2), clouds, torch.device("cpu"))
    assert adapted.facts["strength"] == expected


def test_the_next_smaller_strength_is_taken_where_too_few_labels_stay(network, scans, monkeypatch):
    measured, clouds = measured_norms(network, scans, 2), [points.numpy() for points in scans]
    agreements = []
    for strength in STRENGTHS:
        adapted = measured.moved(strength)
        comparison = Comparison(adapted.before, adapted.after, {}, torch.device("cpu"))
        for cloud in clouds:
            comparison.add(cloud)
        agreements.append(comparison.report()["agreement"])
    assert agreements[0] < agreements[-1]
    limit = next(n for n, agreement in enumerate(agreements) if agreement > agreements[0])
    monkeypatch.setattr(strength_module, "LEAST_AGREEMENT", agreements[limit])
    assert carefully_moved(measured, clouds, torch.device("cpu")).facts["strength"] == STRENGTHS[limit]
