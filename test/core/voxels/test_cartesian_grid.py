"""The Cartesian grid against NumPy written from the formulas."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from pvd_core.borders.errors import UserError
from pvd_core.voxels import CartesianGrid, first_of_points, majority_labels


def scan_of(num_points, seed=0, spread_m=4.0, centre_m=0.0):
    generator = torch.Generator().manual_seed(seed)
    points = torch.randn(num_points, 4, generator=generator) * spread_m + centre_m
    points[:, 3] = torch.rand(num_points, generator=generator)
    return points


def expected_cells(points, voxel_size):
    return np.round(points[:, :3].numpy() / np.float32(voxel_size)).astype(np.int64)


def check_against_numpy(scans, voxel_size):
    """Compares a batch with NumPy's and returns it."""
    batch = CartesianGrid(voxel_size).voxelise(scans)

    cells_of_scans = [expected_cells(scan, voxel_size) for scan in scans]
    lowest = [cells.min(axis=0) if len(cells) else np.zeros(3, np.int64) for cells in cells_of_scans]
    rows = [
        np.column_stack((np.full(len(cells), scan), cells - low))
        for scan, (cells, low) in enumerate(zip(cells_of_scans, lowest, strict=True))
    ]
    coords, inverse, counts = np.unique(np.concatenate(rows), axis=0, return_inverse=True, return_counts=True)
    assert np.array_equal(batch.coords_V4.numpy(), coords)
    assert np.array_equal(batch.point_to_voxel_P.numpy(), inverse.ravel())
    assert np.array_equal(batch.num_points_V.numpy(), counts)
    assert np.array_equal(batch.lowest_B3.numpy(), np.stack(lowest))
    assert batch.shape == tuple(coords[:, 1:].max(axis=0) + 1 if len(coords) else (1, 1, 1))
    assert batch.num_points_per_scan == tuple(map(len, scans))
    assert torch.equal(batch.point_features_PF, torch.cat(scans))
    nearest = np.concatenate(cells_of_scans)[np.unique(inverse, return_index=True)[1]]
    centres = batch.grid.centres(batch)
    assert centres.dtype == torch.float32
    np.testing.assert_allclose(centres.numpy(), nearest * voxel_size, rtol=1e-6, atol=1e-6)
    return batch


@pytest.mark.parametrize("voxel_size", [0.05, 0.3, 10])
@pytest.mark.parametrize("num_points", [(3000,), (0,), (1,), (2000, 0, 1, 1500), (0, 0)])
def test_voxels_are_those_of_numpy(voxel_size, num_points):
    check_against_numpy([scan_of(count, seed) for seed, count in enumerate(num_points)], voxel_size)


def test_each_scan_has_its_own_corner():
    one = scan_of(500)
    batch = check_against_numpy([one, one + torch.tensor([-70.0, 33.0, 5.0, 0.0])], 0.25)
    of_first, of_second = batch.scan(0), batch.scan(1)
    assert of_first.lowest_B3[0].tolist() != of_second.lowest_B3[0].tolist()
    for scan, whole in ((0, of_first), (1, of_second)):
        alone = batch.grid.voxelise([whole.point_features_PF])
        assert torch.equal(whole.coords_V4, alone.coords_V4), scan
        assert torch.equal(whole.grid.centres(whole), alone.grid.centres(alone)), scan


def test_a_batch_aligned_to_another_has_the_same_voxels_a_multiple_of_the_steps_away():
    scans, steps = [scan_of(300), scan_of(0), scan_of(400, seed=1)], (16, 16, 8)
    batch, other = CartesianGrid(0.25).voxelise(scans), CartesianGrid(0.25).voxelise([scan[:50] for scan in scans])
    aligned = batch.aligned_to(other, steps)
    assert not ((aligned.lowest_B3 - other.lowest_B3) % torch.tensor(steps)).any()
    moved_B3 = batch.lowest_B3 - aligned.lowest_B3
    assert moved_B3.any()
    assert ((moved_B3 >= 0) & (moved_B3 < torch.tensor(steps))).all()
    assert torch.equal(batch.grid.centres(aligned), batch.grid.centres(batch))
    assert torch.equal(torch.unique(aligned.coords_V4, dim=0), aligned.coords_V4)
    assert (aligned.coords_V4[:, 1:] >= 0).all()
    assert (aligned.coords_V4[:, 1:] < torch.tensor(aligned.shape)).all()
    assert batch.aligned_to(batch, steps) is batch


def quarter_of(points, voxel_size):
    """The height of cells that a quarter of the points lie at or below."""
    heights = np.sort(expected_cells(points, voxel_size)[:, 2])
    return heights[-(-len(heights) // 4) - 1] if len(heights) else 0


@pytest.mark.parametrize("num_points", [(3000,), (0,), (1,), (2001, 0, 1, 1502), (0, 0)])
def test_a_corner_seen_from_the_ground_holds_the_same_voxels_a_multiple_of_the_coarsest_cell_away(num_points):
    scans = [scan_of(count, seed) for seed, count in enumerate(num_points)]
    lowest, grid = CartesianGrid(0.3).voxelise(scans), CartesianGrid(0.3, origin="ground")
    batch = grid.voxelise(scans)
    moved_B3 = lowest.lowest_B3 - batch.lowest_B3
    assert ((moved_B3 >= 0) & (moved_B3 < 16)).all()
    for scan, corner in zip(scans, batch.lowest_B3.tolist(), strict=True):
        if len(scan):
            assert np.all((np.array(corner) - (0, 0, quarter_of(scan, 0.3))) % 16 == 0)
    assert torch.equal(grid.centres(batch), lowest.grid.centres(lowest))
    assert torch.equal(batch.point_to_voxel_P, lowest.point_to_voxel_P)
    assert (batch.coords_V4[:, 1:] < torch.tensor(batch.shape)).all()


def test_a_stray_point_moves_no_coarser_cell_seen_from_the_ground():
    points = scan_of(4000)
    stray = torch.tensor([[55.0, -61.3, -19.7, 0.1]])

    def planes(scan, origin):
        return CartesianGrid(0.2, origin=origin).voxelise([scan]).lowest_B3[0] % 16

    assert torch.equal(planes(points, "ground"), planes(torch.cat((points, stray)), "ground"))
    assert not torch.equal(planes(points, "lowest"), planes(torch.cat((points, stray)), "lowest"))


def test_the_height_of_the_ground_counts_points_beyond_its_range_too():
    points = scan_of(400)
    points[:200, 2] = -1e5
    points[200:, 2] = 1e5
    batch = CartesianGrid(0.5, origin="ground").voxelise([points])
    assert (batch.lowest_B3[0, 2] + 512) % 16 == 0


def test_points_between_two_cells_go_to_the_even_one():
    points = torch.zeros(6, 4)
    points[:, 0] = torch.tensor([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5])
    batch = check_against_numpy([points], 1.0)
    assert batch.grid.centres(batch)[:, 0].tolist() == [-2, 0, 2]
    assert batch.point_to_voxel_P.tolist() == [0, 0, 1, 1, 2, 2]


def test_equal_points_share_a_voxel():
    batch = check_against_numpy([scan_of(1).repeat(40, 1)], 0.05)
    assert batch.num_points_V.tolist() == [40]


@pytest.mark.parametrize("voxel_size", [0.01, 0.05])
def test_far_points_keep_their_voxels(voxel_size):
    points = scan_of(2000)
    points[::3, :2] = points[::3, :2].clamp(-4, 4) * 2500  # as far as 10 km
    points[::3, 2] *= 100
    check_against_numpy([points, points + 10_000], voxel_size)


@pytest.mark.parametrize(
    ("far", "message"),
    [(1e19, r"extend over 1e\+19 x .* m, up to 1e\+19 m"), (-3e38, "extend over inf"), (1e17, "voxels of 0.05 m")],
)
def test_a_scan_whose_cells_cannot_be_numbered_is_refused(far, message):
    points = scan_of(300)
    points[7, 0] = far
    points[8, 1] = far
    with pytest.raises(UserError, match=message):
        CartesianGrid().voxelise([scan_of(10), points])


def test_a_scan_that_lies_too_far_away_is_refused():
    with pytest.raises(UserError, match=r"up to 1e\+20 m from the sensor"):
        CartesianGrid().voxelise([torch.tensor([[1e20, 0.0, 0.0, 0.0]])])


def test_first_of_points_takes_the_lowest_number_and_gives_it_the_gradient():
    batch = CartesianGrid(3).voxelise([scan_of(200), scan_of(0), scan_of(300, seed=1)])
    features = torch.randn(500, 5, dtype=torch.float64, requires_grad=True)

    first = first_of_points(features, batch)
    first.sum().backward()

    rows = [(batch.point_to_voxel_P == voxel).nonzero()[0, 0].item() for voxel in range(batch.num_voxels)]
    assert torch.equal(first, features[rows])
    assert features.grad.sum(dim=1).nonzero().squeeze(1).tolist() == sorted(rows)


def test_first_of_points_of_no_points_is_empty():
    batch = CartesianGrid().voxelise([scan_of(0)])
    assert first_of_points(batch.point_features_PF, batch).shape == (0, 4)


def test_a_voxel_without_a_point_gets_the_features_of_some_point_and_changes_no_other():
    points = torch.randn(6, 3)
    batch = SimpleNamespace(point_to_voxel_P=torch.tensor([1, 1, 3, 0, 0, 3]), num_voxels=5)
    first = first_of_points(points, batch)
    assert torch.equal(first[[0, 1, 3]], points[[3, 0, 2]])
    assert all(any(torch.equal(row, point) for point in points) for row in first[[2, 4]])


def test_labels_of_voxels_are_those_of_their_majority():
    batch = CartesianGrid(2).voxelise([scan_of(400)])
    labels = torch.randint(0, 20, (400,), generator=torch.Generator().manual_seed(0))
    found = majority_labels(labels, batch.point_to_voxel_P, batch.num_voxels)
    expected = [np.bincount(labels[batch.point_to_voxel_P == voxel]).argmax() for voxel in range(batch.num_voxels)]
    assert found.tolist() == expected
