"""Means and standard deviations over the points of each voxel, for grids of cubes. P points, V voxels."""

import torch

from pvd_core.native import cells
from pvd_core.voxels.batch import PointsInVoxels
from pvd_core.voxels.reductions import first_of_points

NUM_MOMENTS = 8

# They are counted in whole steps, so many to a cube and to full intensity: sums are exact, and equal in any order.
_STEPS = 256
# Intensities are cut off here, so that sums of squares fit int64.
_MOST = 16.0


def moments_of_points(points_PF: torch.Tensor, batch: PointsInVoxels, size_1: torch.Tensor) -> torch.Tensor:
    """float32 (V, 8): means of x, y, z in metres and of intensity, then standard deviations of x, y, z in cubes and of
    intensity. They are the same in whichever order the points come. A voxel without points, as in programs, has any
    values.

    `points_PF`: x, y, z, intensity and more. `size_1`: the edge of the cubes in metres, float32 ()."""
    if cells.is_usable_for(points_PF):
        voxels = batch.point_to_voxel_P, batch.num_voxels
        return cells.moments(points_PF, *voxels, float(size_1), _STEPS, _MOST)
    cubes_P3 = points_PF[:, :3] / size_1
    cells_P3 = cubes_P3.round()
    values_P4 = torch.cat((cubes_P3 - cells_P3, points_PF[:, 3:4]), dim=1).clamp(-_MOST, _MOST)
    steps_P4 = (values_P4 * _STEPS).round().long()
    counted_P9 = torch.cat((steps_P4, steps_P4 * steps_P4, torch.ones_like(steps_P4[:, :1])), dim=1)
    sums_V9 = counted_P9.new_zeros(batch.num_voxels, 9).index_add_(0, batch.point_to_voxel_P, counted_P9)
    sums_V4, squares_V4, counts_V1 = sums_V9.split((4, 4, 1), dim=1)
    all_V1 = _STEPS * counts_V1.clamp(min=1).double()
    means_V4 = sums_V4.double() / all_V1
    spreads_V4 = (counts_V1 * squares_V4 - sums_V4 * sums_V4).clamp(min=0).double().sqrt() / all_V1
    xyz_V3 = (first_of_points(cells_P3, batch).double() + means_V4[:, :3]) * size_1.double()
    return torch.cat((xyz_V3, means_V4[:, 3:], spreads_V4), dim=1).float()
