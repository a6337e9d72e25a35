"""CD, channel-wise distillation (Shu et al. 2021): where in the scan each channel is strong, as a distribution.

V voxels of a scan, C channels.
"""

from dataclasses import dataclass

from torch import nn

from pvd_core.borders.errors import UserError
from pvd_core.losses.distillation import zero_of
from pvd_core.runtime.precision import widened
from pvd_core.runtime.ranks import sum_over_ranks


@dataclass(frozen=True)
class CDConfig:
    feature: float = 0.1
    score: float = 0.3
    temperature: float = 4.0

    def __post_init__(self):
        if not self.temperature > 0:
            raise UserError(f"cd: temperature is {self.temperature}: expected more than 0")

    @property
    def teacher_fields(self):
        read = {"voxel_features_VE": self.feature, "voxel_logits_VC": self.score}
        return tuple(name for name, is_read in read.items() if is_read)


class CD(nn.Module):
    """tau^2 / C * sum over channels of KL(softmax over voxels of the teacher || of the student), mean over scans.

    On the features that enter the classifier, after a learnt linear map to the teacher's channels, and on the scores.
    """

    def __init__(self, config, student, teacher):
        super().__init__()
        self.config = config
        self.to_teacher = nn.Linear(student.voxel_features, teacher.voxel_features, bias=False)

    def forward(self, pair):
        terms = {}
        if self.config.feature:
            mapped_VC = self.to_teacher(widened(pair.student.voxel_features_VE))
            loss = self._loss(mapped_VC, pair.teacher.voxel_features_VE, pair)
            terms["cd_feature"] = self.config.feature * loss
        if self.config.score:
            loss = self._loss(pair.student.voxel_logits_VC, pair.teacher.voxel_logits_VC, pair)
            terms["cd_score"] = self.config.score * loss
        return terms

    def _loss(self, student_VC, teacher_VC, pair):
        temperature, total = self.config.temperature, zero_of(student_VC)
        for voxels in pair.voxels_of_scans():
            student = (widened(student_VC[voxels]) / temperature).log_softmax(dim=0)
            teacher = (widened(teacher_VC[voxels]) / temperature).log_softmax(dim=0)
            total = total + nn.functional.kl_div(student, teacher, reduction="sum", log_target=True)
        return temperature**2 * sum_over_ranks(total) / (pair.num_scans * student_VC.shape[1])
