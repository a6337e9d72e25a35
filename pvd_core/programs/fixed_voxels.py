"""The voxels of one scan with a fixed number of rows, as a network takes them. P points, V rows."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from pvd_core.models import Network
from pvd_core.programs.cells import PaddedGrid
from pvd_core.programs.fixed_sites import FixedSites
from pvd_core.voxels.placed import PlacedPoints


@dataclass(frozen=True)
class FixedBatch:
    """PointsInVoxels: the fields of a VoxelBatch that a network reads."""

    point_features_PF: torch.Tensor
    point_to_voxel_P: torch.Tensor  # the last row, which is padding, for points that are no measurement
    num_voxels: int


def fixed_voxels(
    placed: PlacedPoints, is_measured_P: torch.Tensor, model: Network, num_rows: Sequence[int]
) -> tuple[FixedBatch, FixedSites]:
    """Of points that the grid of `model` placed; `num_rows`: of each level."""
    shape = model.grid.fixed_shape
    keys_P = PaddedGrid(shape).keys(placed.indices_P3.unbind(dim=1), is_measured_P)
    sites = FixedSites(keys_P, shape, num_rows, model.backend)
    return FixedBatch(placed.features_PF, sites.rows(keys_P), num_rows[0]), sites
