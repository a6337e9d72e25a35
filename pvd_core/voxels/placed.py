"""A scan in the cells of a grid, before these are numbered: for programs of fixed shapes. P points."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class PlacedPoints:
    """P points of one scan, some of which may be no measurement."""

    features_PF: torch.Tensor  # float32 (P, F), as of a VoxelBatch
    indices_P3: torch.Tensor  # int64, inside the grid's `fixed_shape`; of any cell where the point is no measurement
    fits: torch.Tensor  # bool scalar: whether the cells of all measurements lie inside `fixed_shape`
