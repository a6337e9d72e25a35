"""Cylindrical grids with progressive radii."""

import numpy as np
import pytest
import torch

from pvd_core.clouds import read_cloud
from pvd_core.native import library
from pvd_core.voxels import CylindricalGrid
from pvd_core.voxels.rings import ring_borders, ring_centres, ring_growth, ring_numbers

PAPER = {"shape": (120, 360, 32), "rho_range": (1, 50), "radial": "progressive"}
RINGS = [(120, 1.0, 50.0, 0.05), (2, 0.0, 50.0, 0.05), (7, 0.5, 4.0, 0.5), (480, 0.0, 80.0, 1e-9), (3, 0.0, 1.0, 0.3)]


@pytest.mark.parametrize("rings", RINGS)
def test_rings_grow_by_equal_steps_and_fill_the_range(rings):
    num_rings, low, high, first = rings
    borders = ring_borders(*rings)
    widths = borders.diff()
    assert len(widths) == num_rings
    assert (borders[0].item(), borders[-1].item()) == (low, high)
    assert widths[0].item() == pytest.approx(first)
    np.testing.assert_allclose(widths.diff(), ring_growth(*rings), atol=1e-12)


def test_rings_of_the_paper_grow_by_six_millimetres():
    assert ring_growth(120, 1, 50, 0.05) == pytest.approx(0.0061, abs=1e-4)


def beside(borders):
    """(each border's next smaller number, the next larger one), in its own precision."""
    return tuple(torch.nextafter(borders, torch.full_like(borders, end)) for end in (-torch.inf, torch.inf))


@pytest.mark.parametrize("rings", RINGS)
def test_a_border_belongs_to_its_outer_ring_and_the_next_smaller_number_to_the_inner_one(rings):
    borders = ring_borders(*rings)
    below, above = beside(borders)
    ring = torch.arange(len(borders))
    last = len(borders) - 2
    assert torch.equal(ring_numbers(borders, borders), ring.clamp(max=last))
    assert torch.equal(ring_numbers(above, borders), ring.clamp(max=last))
    assert torch.equal(ring_numbers(below, borders), (ring - 1).clamp(min=0))


@pytest.mark.parametrize("uses_library", [True, False])
def test_points_beside_the_borders_lie_in_the_rings_that_their_float32_radii_belong_to(uses_library, monkeypatch):
    if not uses_library:
        monkeypatch.setattr(library, "status", lambda: (False, ""))
    borders = ring_borders(120, 1, 50, 0.05)
    radii = borders.float()
    radii = torch.cat((radii, *beside(radii)))
    batch = CylindricalGrid(**PAPER).voxelise([torch.nn.functional.pad(radii[:, None], (0, 3))])
    expected = np.searchsorted(borders.numpy(), radii.double().numpy(), side="right") - 1
    assert np.array_equal(batch.coords_V4[batch.point_to_voxel_P, 1].numpy(), expected.clip(0, 119))


def test_numbers_are_those_of_the_quadratic_equation():
    rho = 1 + 49 * torch.rand(50_000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    borders = ring_borders(120, 1, 50, 0.05)
    growth = ring_growth(120, 1, 50, 0.05)
    half = 0.05 - growth / 2
    expected = ((torch.sqrt(half**2 + 2 * growth * (rho - 1)) - half) / growth).floor().long()
    assert torch.equal(ring_numbers(rho, borders), expected)
    centres = ring_centres(expected, borders)
    assert torch.equal(centres, (borders[expected] + borders[expected + 1]) / 2)


def test_points_outside_belong_to_the_first_and_the_last_ring():
    grid = CylindricalGrid(**PAPER)
    points = torch.tensor([[0.0, 0, 0, 0], [0.99, 0, 0, 0], [50.0, 0, 0, 0], [900.0, 0, 0, 0]])
    assert grid.indices(grid.cylindrical(points))[:, 0].tolist() == [0, 0, 119, 119]


@pytest.mark.parametrize("uses_library", [True, False])
def test_offsets_are_measured_from_the_centre_of_the_ring(uses_library, monkeypatch):
    if not uses_library:
        monkeypatch.setattr(library, "status", lambda: (False, ""))
    grid = CylindricalGrid((6, 8, 4), (1, 20), (-2, 2), "progressive", 0.5)
    points = torch.randn(2000, 4, generator=torch.Generator().manual_seed(0)) * 8
    batch = grid.voxelise([points])

    x, y = points[:, 0].numpy(), points[:, 1].numpy()
    rho = np.sqrt(x * x + y * y)
    borders = 1 + np.array([n * 0.5 + n * (n - 1) / 2 * (19 - 6 * 0.5) / 15 for n in range(7)])
    ring = np.clip(np.searchsorted(borders, rho, side="right") - 1, 0, 5)
    assert np.array_equal(batch.coords_V4[batch.point_to_voxel_P, 1].numpy(), ring)
    centre = (borders[ring] + borders[ring + 1]) / 2
    np.testing.assert_allclose(batch.point_features_PF[:, 0].numpy(), rho - centre, atol=1e-5)


def test_centres_of_voxels_lie_where_their_points_do():
    """By less than half a cell along each axis, for points inside the grid."""
    for grid in (CylindricalGrid(), CylindricalGrid(**PAPER)):
        points = torch.randn(3000, 4, generator=torch.Generator().manual_seed(0)) * torch.tensor([9.0, 9, 0.5, 0])
        points = points[torch.linalg.vector_norm(points[:, :2], dim=1) > 1]
        batch = grid.voxelise([points[:1000], points[1000:]])
        centres = grid.cylindrical(grid.centres(batch))[batch.point_to_voxel_P]
        assert torch.equal(grid.indices(centres), batch.coords_V4[batch.point_to_voxel_P, 1:])
        offsets = grid.cylindrical(points) - centres
        torch.testing.assert_close(offsets, batch.point_features_PF[:, :3], atol=2e-5, rtol=0)


def test_a_progressive_grid_has_fewer_voxels_on_real_scans_than_the_official_one(shared_data):
    counts = []
    for path in sorted((shared_data / "semantickitti").rglob("*.bin"))[:2]:
        points = torch.from_numpy(read_cloud(path))
        counts.append([grid.voxelise([points]).num_voxels for grid in (CylindricalGrid(**PAPER), CylindricalGrid())])
    progressive, official = np.mean(counts, axis=0)
    assert 0.5 * official < progressive < 0.7 * official
