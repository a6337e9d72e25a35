"""What networks get of a voxel where the grid gives the moments of its points."""

import pytest
import torch

from pvd_core.models.build import build_model
from pvd_core.native import cells, library
from pvd_core.voxels import CartesianGrid, grid_from_settings
from pvd_core.voxels.moments import moments_of_points

GRID = CartesianGrid(0.5, features="moments")
SIZE_1 = torch.tensor(0.5)


def scan(num_points=3000, seed=0):
    generator = torch.Generator().manual_seed(seed)
    points = torch.rand(num_points, 4, generator=generator) - torch.tensor([0.5, 0.5, 0.5, 0.0])
    return points * torch.tensor([20.0, 20.0, 3.0, 1.0])


def skip_without_library():
    usable, reason = library.status()
    if not usable:
        pytest.skip(f"native engine: {reason}")


@pytest.fixture(params=["native", "reference"])
def each_way(request, monkeypatch):
    """Moments by the library, and by torch alone."""
    if request.param == "native":
        skip_without_library()
    else:
        monkeypatch.setattr(cells, "is_usable_for", lambda tensor: False)


@pytest.mark.usefixtures("each_way")
def test_moments_are_those_of_a_loop_over_voxels():
    batch = GRID.voxelise([scan()])
    found = moments_of_points(batch.point_features_PF, batch, SIZE_1)
    assert found.shape == (batch.num_voxels, GRID.num_voxel_features)
    for voxel in range(0, batch.num_voxels, 7):
        points = batch.point_features_PF[batch.point_to_voxel_P == voxel].double()
        means, spreads = points.mean(dim=0), points.std(dim=0, correction=0)
        # A step is 1/256 of a cube of half a metre, and rounding moves a value by half a step.
        assert torch.allclose(found[voxel, :4].double(), means, atol=0.002)
        assert torch.allclose(found[voxel, 4:7].double() * 0.5, spreads[:3], atol=0.002)
        assert found[voxel, 7].item() == pytest.approx(spreads[3].item(), abs=0.003)


@pytest.mark.usefixtures("each_way")
@pytest.mark.parametrize("num_points", [0, 1])
def test_moments_of_next_to_nothing(num_points):
    batch = GRID.voxelise([scan(num_points)])
    found = moments_of_points(batch.point_features_PF, batch, SIZE_1)
    assert found.shape == (num_points, 8)
    assert torch.allclose(found[:, :4], scan(num_points), atol=0.002)
    assert (found[:, 4:] == 0).all()


@pytest.mark.usefixtures("each_way")
def test_the_order_of_the_points_changes_no_bit_of_the_moments():
    points = scan()
    order = torch.randperm(len(points), generator=torch.Generator().manual_seed(1))
    one, other = (GRID.voxelise([each]) for each in (points, points[order]))
    assert torch.equal(one.coords_V4, other.coords_V4)
    assert torch.equal(GRID.voxel_features(one), GRID.voxel_features(other))


@pytest.mark.parametrize("times", [1.0, 255.0, 1e6])
@pytest.mark.parametrize("far", [0.0, 9000.0])
def test_the_library_gives_the_bits_of_the_reference(monkeypatch, times, far):
    skip_without_library()
    points = torch.cat(
        (scan(20_000) * torch.tensor([1, 1, 1, times]) + torch.tensor([far, 0, 0, 0]), torch.zeros(5, 4))
    )
    batch = GRID.voxelise([points, scan(400, seed=2)])
    found = GRID.voxel_features(batch)
    assert found.isfinite().all()
    monkeypatch.setattr(cells, "is_usable_for", lambda tensor: False)
    assert torch.equal(found, GRID.voxel_features(batch))


def test_with_time_its_mean_comes_last():
    timed = CartesianGrid(0.5, time=True, features="moments")
    points = torch.cat((scan(), torch.arange(3000.0)[:, None] % 3), dim=1)
    batch = timed.voxelise([points])
    found = timed.voxel_features(batch)
    assert found.shape == (batch.num_voxels, timed.num_voxel_features) == (batch.num_voxels, 9)
    assert torch.equal(found[:, :8], GRID.voxel_features(GRID.voxelise([points[:, :4]])))
    first = batch.point_features_PF[batch.point_to_voxel_P == 0]
    assert found[0, 8].item() == pytest.approx(first[:, 4].mean().item())


def test_settings_name_the_features_where_they_are_not_the_first_point():
    assert grid_from_settings(GRID.settings()) == GRID
    assert GRID.settings()["features"] == "moments"
    assert "features" not in CartesianGrid(0.5).settings()
    with pytest.raises(ValueError, match="grid features is 'mean': expected first or moments"):
        CartesianGrid(0.5, features="mean")


@pytest.mark.parametrize("family", ["minkunet", "spvcnn"])
def test_networks_learn_from_the_spread_of_a_voxels_points(family):
    model = build_model({"architecture": family, "channel_ratio": 0.1, "grid": GRID.settings()}).eval()
    points = scan()
    spread = points.clone()
    in_cube = torch.round(points[:, :3] / 0.5)
    spread[:, :3] = (in_cube + (points[:, :3] / 0.5 - in_cube) * 0.1) * 0.5
    with torch.inference_mode():
        one, other = (model(GRID.voxelise([each])).voxel_logits_VC for each in (points, spread))
    assert one.shape == other.shape
    assert not torch.allclose(one, other, atol=1e-3)
