"""Grids whose points carry how many scans back they are."""

import pytest
import torch

from pvd_core.native import cells
from pvd_core.voxels import CartesianGrid, CylindricalGrid, grid_from_settings, mean_of_points

KINDS = [
    (CylindricalGrid, {"shape": (24, 18, 8)}),
    (CylindricalGrid, {"shape": (24, 18, 8), "radial": "progressive"}),
    (CartesianGrid, {"voxel_size": 0.5}),
]


def scans():
    generator = torch.Generator().manual_seed(0)
    xyzi = [torch.rand(300, 4, generator=generator) * torch.tensor([20, 20, 3, 1.0]) for _ in range(2)]
    return [torch.cat((points, torch.arange(300.0)[:, None] % 3), dim=1) for points in xyzi]


@pytest.mark.parametrize("is_native", [True, False])
@pytest.mark.parametrize(("kind", "settings"), KINDS)
def test_the_time_is_the_last_feature_and_changes_no_voxel(monkeypatch, kind, settings, is_native):
    if not is_native:
        monkeypatch.setattr(cells, "is_usable_for", lambda tensor: False)
    timed, plain = kind(**settings, time=True), kind(**settings)
    batch, expected = timed.voxelise(scans()), plain.voxelise([points[:, :4] for points in scans()])
    assert batch.point_features_PF.shape[1] == timed.num_point_features == plain.num_point_features + 1
    assert torch.equal(batch.point_features_PF[:, :-1], expected.point_features_PF)
    assert torch.equal(batch.point_features_PF[:, -1], torch.cat(scans())[:, 4])
    for name in ("coords_V4", "point_to_voxel_P", "num_points_V", "lowest_B3"):
        assert torch.equal(getattr(batch, name), getattr(expected, name))
    assert torch.equal(timed.centres(batch), plain.centres(expected))


@pytest.mark.parametrize(("kind", "settings"), KINDS)
def test_only_grids_with_time_name_it_in_their_settings(kind, settings):
    timed, plain = kind(**settings, time=True), kind(**settings)
    assert grid_from_settings(timed.settings()) == timed != plain
    assert timed.settings() == {**plain.settings(), "time": True}
    assert "time" not in plain.settings()


@pytest.mark.parametrize("value", [1, "yes", None])
@pytest.mark.parametrize("kind", ["cylindrical", "cartesian"])
def test_a_time_that_is_neither_true_nor_false_is_refused(kind, value):
    with pytest.raises(ValueError, match=r"grid time is .*: expected true or false"):
        grid_from_settings({"kind": kind, "time": value})


def test_the_mean_of_a_voxels_points_is_that_of_a_loop():
    batch = CartesianGrid(2.0, time=True).voxelise(scans())
    times_P1 = batch.point_features_PF[:, 4:].double()
    means = [times_P1[batch.point_to_voxel_P == voxel].mean() for voxel in range(batch.num_voxels)]
    assert mean_of_points(times_P1, batch)[:, 0].tolist() == pytest.approx([mean.item() for mean in means])
    empty = CartesianGrid(2.0, time=True).voxelise([torch.zeros(0, 5)])
    assert mean_of_points(empty.point_features_PF[:, 4:], empty).shape == (0, 1)
