"""Statistics move part of the way to those of unlabelled scans, and only where they belong."""

import numpy as np
import pytest
import torch
from tiny_dataset import TINY_MODEL, random_scan

from pvd_core.borders.errors import UserError
from pvd_core.models import build_model
from pvd_core.models.bare_statistics import statistics_of
from training.adapt.norms import adapted_norms, take_statistics, usual_strength


@pytest.fixture
def network():
    torch.manual_seed(0)
    return build_model(TINY_MODEL).eval()


@pytest.fixture(scope="module")
def scans():
    return [torch.from_numpy(random_scan(np.random.default_rng(seed))[0]) for seed in range(2)]


def copied(network):
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def test_more_scans_move_statistics_farther():
    assert usual_strength(4) == pytest.approx(0.2)
    assert usual_strength(16) == pytest.approx(0.5)
    assert usual_strength(1000) > 0.98


def test_strength_0_keeps_and_1_replaces_and_a_half_is_in_the_middle(network, scans):
    own = statistics_of(network)["point_mlp.in_norm.running_mean"]
    kept, middle, replaced = (
        statistics_of(adapted_norms(network, scans, 2, strength=strength).after)["point_mlp.in_norm.running_mean"]
        for strength in (0.0, 0.5, 1.0)
    )
    assert torch.equal(kept, own)
    assert not torch.equal(replaced, own)
    torch.testing.assert_close(middle, (own + replaced) / 2)


def test_only_the_norms_of_the_point_branch_change_by_default(network, scans):
    before = copied(network)
    take_statistics(network, adapted_norms(network, scans, 2))
    changed = {name for name, tensor in network.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed
    assert all(name.startswith("point_mlp.") and "running_" in name for name in changed)


def test_scans_without_intensity_change_the_statistics_for_such_clouds_alone(network, scans):
    before = copied(network)
    bare = [torch.cat((points[:, :3], torch.zeros(len(points), 1)), dim=1) for points in scans]
    take_statistics(network, adapted_norms(network, bare, 2, are_bare=True))
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert network.bare_statistics.keys() == statistics_of(network).keys()
    name = "point_mlp.in_norm.running_mean"
    assert not torch.equal(network.bare_statistics[name], before[name])


def test_too_few_points_are_refused(network, scans):
    with pytest.raises(UserError, match="2 scans with 600 measured points in all: expected at least 1000"):
        adapted_norms(network, [points[:300] for points in scans], 2)
    with pytest.raises(UserError, match="1 scan with 0 measured points"):
        adapted_norms(network, [scans[0][:1]], 1)
