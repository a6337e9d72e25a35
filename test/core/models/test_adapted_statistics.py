"""Statistics of norms, measured anew on unlabelled scans: what they are over, and which norms get them."""

import numpy as np
import pytest
import torch

from pvd_core.models import build_model
from pvd_core.models.adapted_statistics import estimate_statistics, norms_of
from pvd_core.models.bare_statistics import statistics_of, with_statistics

CYLINDER = {"width": 4, "num_point_features": 16, "point_mlp_widths": (16,), "grid": {"shape": (48, 36, 8)}}


def scan(seed, num_points):
    generator = np.random.default_rng(seed)
    cloud = generator.uniform((-30, -30, seed - 2, 0), (30, 30, seed + 2, 1), (num_points, 4))
    return torch.from_numpy(cloud.astype(np.float32))


SCANS = [scan(seed, 400 + 300 * seed) for seed in range(3)]


@pytest.fixture
def network():
    torch.manual_seed(0)
    return build_model(CYLINDER).eval()


def test_statistics_are_those_of_the_rows_of_all_scans_together(network):
    found, num_points = estimate_statistics(network, SCANS, norms_of(network, "points"))
    features_PF = torch.cat([network.grid.voxelise([points]).point_features_PF for points in SCANS]).double()
    assert num_points == sum(map(len, SCANS))
    torch.testing.assert_close(found["point_mlp.in_norm.running_mean"].double(), features_PF.mean(0))
    torch.testing.assert_close(found["point_mlp.in_norm.running_var"].double(), features_PF.var(0))


def test_the_order_of_the_scans_changes_no_bit(network):
    names = norms_of(network, "all")
    one, _ = estimate_statistics(network, SCANS, names)
    other, _ = estimate_statistics(network, SCANS[::-1], names)
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def test_labelling_computes_with_these_statistics_what_was_measured(network):
    """Labelling folds norms into the layers beside them; a scan alone has to come out as when it was measured."""
    scans = [scan(0, 5000)]
    found, _ = estimate_statistics(network, scans, norms_of(network, "points"))
    adapted = with_statistics(network, {**statistics_of(network), **found})
    features_PF = network.grid.voxelise(scans).point_features_PF
    with torch.inference_mode():
        labelled = adapted.point_mlp(features_PF)
    measured = network.point_mlp.train()(features_PF).detach()
    torch.testing.assert_close(labelled, measured, rtol=1e-3, atol=1e-3)


def test_measuring_leaves_the_network_as_it_is(network):
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    estimate_statistics(network, SCANS, norms_of(network, "all"))
    assert not network.training
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert not any(module._forward_pre_hooks for module in network.modules())


@pytest.mark.parametrize(
    ("name", "branch"),
    [("cylinder3d-0.25x", "point_mlp."), ("spvcnn-0.5x", "branch."), ("minkunet-0.5x", "")],
)
def test_each_family_says_which_norms_its_point_branch_has(name, branch):
    network = build_model({"name": name})
    points, everything = norms_of(network, "points"), norms_of(network, "all")
    assert points == [norm for norm in everything if norm.startswith(branch)]
    assert points


def test_a_single_row_in_all_is_refused(network):
    with pytest.raises(ValueError, match="a variance needs two"):
        estimate_statistics(network, [SCANS[0][:1]], norms_of(network, "points"))
