"""KD (Hinton et al. 2015): the student repeats the teacher's softened class probabilities."""

from dataclasses import dataclass

from torch import nn

from pvd_core.errors import UserError
from pvd_core.ranks import sum_over_ranks


@dataclass(frozen=True)
class KDConfig:
    weight: float = 0.2
    temperature: float = 1.0
    on_points: bool = False
    """Also on the point outputs, with the same weight; needs a network with point refinement."""

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
        terms = {"kd": self._loss(pair.student.voxel_logits_VC, pair.teacher.voxel_logits_VC, pair.voxel_labels_V)}
        if self.config.on_points:
            terms["kd_points"] = self._loss(
                pair.student.point_logits_PC, pair.teacher.point_logits_PC, pair.point_labels_P
            )
        return terms

    def _loss(self, student_VC, teacher_VC, labels_V):
        counted_V = labels_V != 0
        temperature = self.config.temperature
        student_VC = (student_VC[counted_V].float() / temperature).log_softmax(dim=1)
        teacher_VC = (teacher_VC[counted_V].float() / temperature).log_softmax(dim=1)
        divergence = nn.functional.kl_div(student_VC, teacher_VC, reduction="sum", log_target=True)
        num_counted = sum_over_ranks(counted_V.sum()).clamp(min=1)
        return self.config.weight * temperature**2 * sum_over_ranks(divergence) / num_counted
