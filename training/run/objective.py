"""The supervised objective: cross-entropy and Lovasz loss on voxels, cross-entropy on points.

V voxels, P points, C classes.
"""

from collections.abc import Callable

import torch
from torch import nn

from pvd_core.losses import cross_entropy, lovasz_softmax
from pvd_core.models import Network
from pvd_core.models.output import SegmentationOutput
from pvd_core.runtime.precision import widened
from pvd_core.sparse import Sites
from training.data.batches import TrainingBatch
from training.run.config import SUPERVISED_TERMS, LossConfig


class SegmentationObjective(nn.Module):
    """A network with its losses: TrainingBatch -> {term: scalar loss}, each already times its factor.

    The losses are computed inside `forward`, so that distributed wrappers and mixed precision see a single module.
    """

    class_weights: torch.Tensor | None

    def __init__(self, model: Network, config: LossConfig, class_weights: torch.Tensor | None = None) -> None:
        """`class_weights`: float32 (C,), for both cross-entropies."""
        super().__init__()
        self.model, self.config = model, config
        self.register_buffer("class_weights", class_weights, persistent=False)

    def forward(self, batch: TrainingBatch) -> dict[str, torch.Tensor]:
        """{term: scalar loss}; their sum is what is minimised."""
        return self.learn(batch)[1]

    def learn(
        self, batch: TrainingBatch, sites: Sites | None = None
    ) -> tuple[SegmentationOutput, dict[str, torch.Tensor]]:
        """(the network's output, the terms of `forward`). `sites`: as of `outputs`."""
        output = self.outputs(batch, sites=sites)
        # Losses in float32 whatever the network computes in.
        with torch.autocast(device_type=batch.point_labels_P.device.type, enabled=False):
            return output, self.terms(output, batch)

    def outputs(
        self, batch: TrainingBatch, with_points: bool = False, sites: Sites | None = None
    ) -> SegmentationOutput:
        """The network's output, with the point fields if the losses or `with_points` need them. `sites`: those of the
        batch's voxels, if they have been built already."""
        has_point_loss = self.model.has_point_loss and "points" in self.config.scored
        return self.model(batch.voxels, with_points=with_points or has_point_loss, sites=sites)

    def terms(self, output: SegmentationOutput, batch: TrainingBatch) -> dict[str, torch.Tensor]:
        """{term: loss times its factor}; to be called with autocast off."""
        scores = {"voxels": (widened(output.voxel_logits_VC), batch.voxel_labels_V)}
        if self.model.has_point_loss and output.point_logits_PC is not None:
            scores["points"] = widened(output.point_logits_PC), batch.point_labels_P
        return {
            term: getattr(self.config, term) * _LOSSES[term](*scores[scored], self.class_weights)
            for term, scored in SUPERVISED_TERMS.items()
            if getattr(self.config, term) and scored in scores
        }


def _lovasz(logits: torch.Tensor, labels: torch.Tensor, _class_weights: torch.Tensor | None) -> torch.Tensor:
    return lovasz_softmax(logits.softmax(dim=1), labels)


# Of (scores, labels, class weights), for each of SUPERVISED_TERMS.
_LOSSES: dict[str, Callable[[torch.Tensor, torch.Tensor, torch.Tensor | None], torch.Tensor]] = {
    "cross_entropy": cross_entropy,
    "lovasz": _lovasz,
    "point_cross_entropy": cross_entropy,
}
