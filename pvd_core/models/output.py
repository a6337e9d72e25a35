"""What every network returns, and how labels follow from it.

V voxels, P points, C class scores, E and D feature channels.
"""

import math
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

    def labels_of_points(
        self, point_to_voxel_P: torch.Tensor, temperature: float = 1.0
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(uint8 class ids from 1 on (P,); float32 (P,), the probability of each among the classes from 1 on, by the
        softmax of the scores divided by `temperature`, which changes no label)."""
        if self.point_logits_PC is not None:
            return labels_of(self.point_logits_PC, temperature)
        labels_V, confidence_V = labels_of(self.voxel_logits_VC, temperature)
        return labels_V.index_select(0, point_to_voxel_P), confidence_V.index_select(0, point_to_voxel_P)

    def entropy_of_points(self, point_to_voxel_P: torch.Tensor, temperature: float = 1.0) -> torch.Tensor:
        """float32 (P,): entropy of each point's probabilities among the classes from 1 on, by the same softmax; 0 where
        one class is certain, 1 where all are equally probable."""
        if self.point_logits_PC is not None:
            return entropy_of(self.point_logits_PC, temperature)
        return entropy_of(self.voxel_logits_VC, temperature).index_select(0, point_to_voxel_P)


def labels_of(logits: torch.Tensor, temperature: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    """(uint8 class ids from 1 on (M,); float32 (M,), the probability of each) for class scores (M, C), as
    `labels_of_points` says."""
    logits = logits.float()
    if cells.is_usable_for(logits) and 2 <= logits.shape[1] <= cells.MOST_CLASSES and not logits.requires_grad:
        return cells.labels(logits, temperature)
    # Without channel 0, "unlabeled": every measured point gets a class.
    confidence, labels = torch.softmax(logits[:, 1:], dim=1).max(dim=1)
    if temperature != 1:
        # Labels are not taken from these: scores that nearly agree may become equal when divided.
        confidence = torch.softmax(logits[:, 1:] / temperature, dim=1).gather(1, labels[:, None])[:, 0]
    return (labels + 1).to(torch.uint8), confidence


def entropy_of(logits: torch.Tensor, temperature: float = 1.0) -> torch.Tensor:
    """float32 (M,): entropy of the probabilities behind class scores (M, C), as `entropy_of_points` says."""
    probabilities = torch.softmax(logits[:, 1:].float() / temperature, dim=1)
    most = math.log(max(probabilities.shape[1], 2))
    return (torch.special.entr(probabilities).sum(dim=1) / most).clamp(0, 1)
