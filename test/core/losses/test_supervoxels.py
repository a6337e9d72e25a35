"""Supervoxels of grids whose cells are not those of the standard grid: bins of the voxels' centres."""

import numpy as np
import pytest
import torch
from distillation_pairs import make_pair

from pvd_core.losses.baselines.skd import SKD
from pvd_core.losses.pvd import PVD
from pvd_core.losses.supervoxels import SupervoxelPartition, supervoxel_grid, supervoxel_weights
from pvd_core.voxels import CartesianGrid, CylindricalGrid

OTHERS = [
    CartesianGrid(0.4),
    CylindricalGrid((60, 90, 16), (1, 50), radial="progressive"),
    CylindricalGrid((40, 80, 16), (0, 80), (-6, 6), "progressive"),
]


def scan_of(num_points, seed):
    generator = torch.Generator().manual_seed(seed)
    scale = torch.tensor([25.0, 25, 2, 0])
    return torch.randn(num_points, 4, generator=generator) * scale


def expected_numbers(centres, scans, size):
    """By the official formula for the cells of the standard grid, in NumPy."""
    x, y, z = centres.astype(np.float32).T
    values = np.column_stack((np.sqrt(x * x + y * y), np.arctan2(y, x), z)).astype(np.float64)
    lowest, highest, shape = np.array([0, -3.1415926, -4]), np.array([50, 3.1415926, 2]), np.array([480, 360, 32])
    cells = np.floor((values.clip(lowest, highest) - lowest) / ((highest - lowest) / (shape - 1))).astype(int)
    return np.ravel_multi_index((scans, *(cells // size).T), (2, *-(-shape // size)))


@pytest.mark.parametrize("grid", OTHERS)
@pytest.mark.parametrize("size", [(120, 60, 8), (50, 70, 5)])
def test_numbers_are_those_of_the_standard_grid_at_the_centres(grid, size):
    batch = grid.voxelise([scan_of(800, 0), scan_of(500, 1)])
    numbers = SupervoxelPartition(size).numbers(batch).numpy()
    expected = expected_numbers(grid.centres(batch).numpy(), batch.coords_V4[:, 0].numpy(), np.array(size))
    # Where a centre lies on a border, NumPy's arc tangent may take the other side.
    assert (numbers != expected).mean() < 0.005


@pytest.mark.parametrize("grid", OTHERS)
def test_distances_are_radii_of_the_standard_grid(grid):
    batch = grid.voxelise([scan_of(300, 0), scan_of(300, 1)])
    standard = CylindricalGrid().voxelise([scan_of(1, 0), scan_of(1, 1)])
    partition = SupervoxelPartition()
    assert torch.equal(partition.relative_distances(batch), partition.relative_distances(standard))
    is_minority_V = torch.zeros(batch.num_voxels, dtype=torch.bool)
    weights = supervoxel_weights(partition, batch, partition.numbers(batch), is_minority_V)
    assert len(weights) == 2 * 96
    assert set((weights > 0).nonzero().flatten().tolist()) == set(partition.numbers(batch).tolist())


def test_a_grid_with_rings_of_one_width_is_cut_along_its_own_cells():
    grid = CylindricalGrid((24, 18, 8), (0, 30))
    assert supervoxel_grid(grid) == grid
    for other in OTHERS:
        assert supervoxel_grid(other) == CylindricalGrid()


@pytest.mark.parametrize("grid", OTHERS)
@pytest.mark.parametrize("method", [PVD, SKD])
def test_methods_teach_on_every_grid(grid, method):
    pair = make_pair(grid=grid, num_points=(400, 300))
    terms = method()(pair)
    sum(terms.values()).backward()
    assert all(term > 0 for term in terms.values())
    assert pair.student.voxel_features_VE.grad.abs().sum() > 0
