"""KD (Hinton et al. 2015): the student repeats the teacher's softened class probabilities."""

from dataclasses import dataclass

from torch import nn

from pvd_core.borders.errors import UserError
from pvd_core.losses.output_distillation import output_distillation


@dataclass(frozen=True)
class KDConfig:
    weight: float = 0.2
    temperature: float = 1.0
    on_points: bool = False
    """Also on the point outputs, with the same weight; needs a network with point refinement."""
    class_weighted: bool = False
    """Weigh voxels by their class, as the supervised losses do."""

    def __post_init__(self):
        if not self.temperature > 0:
            raise UserError(f"kd: temperature is {self.temperature}: expected more than 0")

    @property
    def teacher_fields(self):
        return ("voxel_logits_VC", "point_logits_PC") if self.on_points else ("voxel_logits_VC",)


class KD(nn.Module):
    """T^2 * mean over labelled voxels of KL(teacher || student)."""

    def __init__(self, config=KDConfig(), student=None, teacher=None):
        super().__init__()
        self.config = config

    def forward(self, pair):
        student, teacher, is_weighted = pair.student, pair.teacher, self.config.class_weighted
        weights_V = pair.row_weights(pair.voxel_labels_V, is_weighted)
        terms = {"kd": self._loss(student.voxel_logits_VC, teacher.voxel_logits_VC, weights_V)}
        if self.config.on_points:
            weights_P = pair.row_weights(pair.point_labels_P, is_weighted)
            terms["kd_points"] = self._loss(student.point_logits_PC, teacher.point_logits_PC, weights_P)
        return terms

    def _loss(self, student_VC, teacher_VC, weights_V):
        mean_a_class = output_distillation(student_VC, teacher_VC, weights_V, temperature=self.config.temperature)
        return self.config.weight * student_VC.shape[1] * mean_a_class
