"""What the terms of M2SKD are given: the outputs of both passes, and which rows belong together.

V voxels of the single pass, W of the enriched one, S and T sites of a coarser level of each, C class scores.
"""

from dataclasses import dataclass

import torch

from pvd_core.models.output import SegmentationOutput


@dataclass(frozen=True)
class LevelFeatures:
    """Features of both passes on the sites of one level of the network."""

    single_SD: torch.Tensor
    enriched_TD: torch.Tensor
    single_row_T: torch.Tensor  # int64 (T,): the single pass's site in the same cell, -1 where there is none


@dataclass(frozen=True)
class TwoPasses:
    """The same network on single scans and on the same scans enriched. Both outputs have their gradients; the terms
    that teach the single pass treat the enriched one as constant."""

    single: SegmentationOutput
    enriched: SegmentationOutput
    single_labels_V: torch.Tensor  # int64 (V,), 0 = ignored
    enriched_labels_W: torch.Tensor  # int64 (W,), 0 = ignored
    enriched_row_V: torch.Tensor  # int64 (V,): the enriched pass's voxel in the same cell, -1 where there is none
    single_row_W: torch.Tensor  # int64 (W,): the reverse
    is_hard_C: torch.Tensor  # bool (C,): which classes are hard ones
    instance_V: torch.Tensor | None = None
    """int64 (V,): a number for each object of a hard class, different over the batch of all ranks; 0 = none. Only for
    affinities of instances."""
    level: LevelFeatures | None = None
    """Only for the term on features."""
    generator: torch.Generator | None = None
    """For random draws, on the CPU; in the same state on every rank."""


def at_rows(values_VC: torch.Tensor, rows_N: torch.Tensor) -> torch.Tensor:
    """The rows `rows_N` (int64, -1 for none) of `values_VC` (V, ...), with 0 where there is none; differentiable."""
    none = values_VC.new_zeros(1, *values_VC.shape[1:])
    return torch.cat((none, values_VC)).index_select(0, rows_N + 1)
