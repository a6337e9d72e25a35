"""KD, knowledge distillation (Hinton et al. 2015): the student learns the teacher's softened class probabilities."""

from dataclasses import dataclass

import torch

from pvd_core.borders.errors import UserError
from pvd_core.losses.distillation import Channels, DistillationMethod, DistillationPair
from pvd_core.losses.output_distillation import output_distillation


@dataclass(frozen=True)
class KDConfig:
    weight: float = 0.2
    temperature: float = 1.0
    on_points: bool = False
    """Also on the point outputs, with the same weight; needs networks that have these."""
    class_weighted: bool = False
    """Weight voxels by their class, as the supervised losses do."""

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise UserError(f"kd: temperature is {self.temperature}: expected more than 0")

    @property
    def teacher_fields(self) -> tuple[str, ...]:
        return ("voxel_logits_VC", "point_logits_PC") if self.on_points else ("voxel_logits_VC",)


class KD(DistillationMethod):
    """weight * temperature^2 * mean over labelled voxels of KL(teacher || student)."""

    config: KDConfig

    def __init__(
        self, config: KDConfig = KDConfig(), student: Channels | None = None, teacher: Channels | None = None
    ) -> None:
        super().__init__()
        self.config = config

    def forward(self, pair: DistillationPair) -> dict[str, torch.Tensor]:
        terms = {"kd": self._loss(pair, "voxel_logits_VC", pair.voxel_labels_V)}
        if self.config.on_points:
            terms["kd_points"] = self._loss(pair, "point_logits_PC", pair.point_labels_P)
        return terms

    def _loss(self, pair: DistillationPair, field: str, labels: torch.Tensor) -> torch.Tensor:
        """`field`: which class scores of the SegmentationOutputs are compared."""
        student_VC, teacher_VC = getattr(pair.student, field), getattr(pair.teacher, field)
        weights_V = pair.row_weights(labels, self.config.class_weighted)
        loss = output_distillation(student_VC, teacher_VC, weights_V, temperature=self.config.temperature)
        return self.config.weight * loss
