"""What every network returns, and how labels follow from it.

V voxels, P points, C class scores, E and D feature channels.
"""

from dataclasses import dataclass

import torch

from pvd_core.native import cells


@dataclass(frozen=True)
class SegmentationOutput:
    """The point fields are None if the point refinement did not run."""

    voxel_logits_VC: torch.Tensor  # class scores; channel 0 is "unlabeled"
    voxel_features_VE: torch.Tensor  # what enters the classifier of voxels
    point_logits_PC: torch.Tensor | None = None
    point_features_PD: torch.Tensor | None = None  # the refinement's last hidden activation

    def scores_of_points(self, point_to_voxel_P: torch.Tensor) -> torch.Tensor:
        """Class scores (P, C) behind the labels of points: from the refinement if it ran, else those of the voxels."""
        if self.point_logits_PC is not None:
            return self.point_logits_PC
        return self.voxel_logits_VC.index_select(0, point_to_voxel_P)

    def labels_of_points(self, point_to_voxel_P: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(uint8 class ids from 1 on (P,); float32 (P,), the probability of each among the classes from 1 on)."""
        if self.point_logits_PC is not None:
            return _labels(self.point_logits_PC)
        labels_V, confidence_V = _labels(self.voxel_logits_VC)
        return labels_V.index_select(0, point_to_voxel_P), confidence_V.index_select(0, point_to_voxel_P)


def _labels(logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    logits = logits.float()
    if cells.is_usable_for(logits) and 2 <= logits.shape[1] <= cells.MOST_CLASSES and not logits.requires_grad:
        return cells.labels(logits)
    # Without channel 0, "unlabeled": every measured point gets a class.
    confidence, labels = torch.softmax(logits[:, 1:], dim=1).max(dim=1)
    return (labels + 1).to(torch.uint8), confidence
