"""CD, channel-wise distillation (Shu et al. 2021): compares, for each channel, its distribution over the voxels.

V voxels of a scan, C channels.
"""

from dataclasses import dataclass

import torch
from torch import nn

from pvd_core.borders.errors import UserError
from pvd_core.losses.distillation import Channels, DistillationMethod, DistillationPair
from pvd_core.losses.zero import zero_of
from pvd_core.runtime.precision import widened
from pvd_core.runtime.ranks import sum_over_ranks


@dataclass(frozen=True)
class CDConfig:
    feature: float = 0.1
    """Coefficient of the term on features."""
    score: float = 0.3
    """Coefficient of the term on class scores."""
    temperature: float = 4.0

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise UserError(f"cd: temperature is {self.temperature}: expected more than 0")

    @property
    def teacher_fields(self) -> tuple[str, ...]:
        read = {"voxel_features_VE": self.feature, "voxel_logits_VC": self.score}
        return tuple(name for name, is_read in read.items() if is_read)


class CD(DistillationMethod):
    """temperature^2 / C * sum over channels of KL(teacher || student), mean over scans, where both are softmax over the
    voxels of a scan.

    One term on the features that enter the classifier, with the student's mapped to the teacher's channels by a learnt
    linear layer; one on the class scores.
    """

    config: CDConfig

    def __init__(self, config: CDConfig, student: Channels, teacher: Channels) -> None:
        super().__init__()
        self.config = config
        self.to_teacher = nn.Linear(student.voxel_features, teacher.voxel_features, bias=False)

    def forward(self, pair: DistillationPair) -> dict[str, torch.Tensor]:
        terms = {}
        if self.config.feature:
            mapped_VC = self.to_teacher(widened(pair.student.voxel_features_VE))
            loss = self._loss(mapped_VC, pair.teacher.voxel_features_VE, pair)
            terms["cd_feature"] = self.config.feature * loss
        if self.config.score:
            loss = self._loss(pair.student.voxel_logits_VC, pair.teacher.voxel_logits_VC, pair)
            terms["cd_score"] = self.config.score * loss
        return terms

    def _loss(self, student_VC: torch.Tensor, teacher_VC: torch.Tensor, pair: DistillationPair) -> torch.Tensor:
        temperature, total = self.config.temperature, zero_of(student_VC)
        for voxels in pair.voxels_of_scans():
            student = (widened(student_VC[voxels]) / temperature).log_softmax(dim=0)
            teacher = (widened(teacher_VC[voxels]) / temperature).log_softmax(dim=0)
            total = total + nn.functional.kl_div(student, teacher, reduction="sum", log_target=True)
        return temperature**2 * sum_over_ranks(total) / (pair.num_scans * student_VC.shape[1])
