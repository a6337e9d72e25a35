"""What every network returns. V voxels, P points, C classes, E and D feature channels."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class SegmentationOutput:
    """The point fields are None for a network without point refinement."""

    voxel_logits_VC: torch.Tensor
    voxel_features_VE: torch.Tensor
    point_logits_PC: torch.Tensor | None = None
    point_features_PD: torch.Tensor | None = None
