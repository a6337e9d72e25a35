"""What every network returns, and the labels in it. V voxels, P points, C classes, E and D feature channels."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class SegmentationOutput:
    """The point fields are None for a network without point refinement."""

    voxel_logits_VC: torch.Tensor
    voxel_features_VE: torch.Tensor
    point_logits_PC: torch.Tensor | None = None
    point_features_PD: torch.Tensor | None = None

    def scores_of_points(self, point_to_voxel_P):
        """Class scores (P, C) that the labels of points come from: a point's own, else its voxel's."""
        if self.point_logits_PC is not None:
            return self.point_logits_PC
        return self.voxel_logits_VC.index_select(0, point_to_voxel_P)

    def labels_of_points(self, point_to_voxel_P):
        """(uint8 class ids 1..19 (P,), float32 probability of each (P,))."""
        from_points = self.point_logits_PC is not None
        logits = self.point_logits_PC if from_points else self.voxel_logits_VC
        # Without the "unlabeled" channel the rest is a distribution over real classes.
        confidence, labels = torch.softmax(logits[:, 1:].float(), dim=1).max(dim=1)
        labels = (labels + 1).to(torch.uint8)
        if from_points:
            return labels, confidence
        return labels.index_select(0, point_to_voxel_P), confidence.index_select(0, point_to_voxel_P)
