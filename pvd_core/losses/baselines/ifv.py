"""IFV, intra-class feature variation (Wang et al. 2020): how similar each voxel is to the mean of its class.

V voxels, G groups (one class in one scan), D channels.
"""

from dataclasses import dataclass

import torch
from torch import nn

from pvd_core.losses.affinity import check_affinity_norm
from pvd_core.losses.distillation import Channels, DistillationMethod, DistillationPair
from pvd_core.runtime.precision import widened
from pvd_core.runtime.ranks import sum_over_ranks


@dataclass(frozen=True)
class IFVConfig:
    weight: float = 0.2
    affinity_norm: str = "valid"
    """See AFFINITY_NORMS. Each voxel has one similarity, so that valid is the mean square and rows the mean of absolute
    differences, over voxels that count; padded divides the sum of squares by the number of all voxels."""

    teacher_fields = ("voxel_features_VE",)

    def __post_init__(self) -> None:
        check_affinity_norm("ifv", self.affinity_norm)


class IFV(DistillationMethod):
    """Mean over voxels of (s_S - s_T)^2, where s is the cosine similarity of a voxel's feature to the mean feature of
    its class in its scan. Voxels without a label, and classes with fewer than two voxels in a scan, do not count."""

    config: IFVConfig

    def __init__(
        self, config: IFVConfig = IFVConfig(), student: Channels | None = None, teacher: Channels | None = None
    ) -> None:
        super().__init__()
        self.config = config

    def forward(self, pair: DistillationPair) -> dict[str, torch.Tensor]:
        num_classes = len(pair.is_minority_C)
        group_V = pair.voxels.coords_V4[:, 0] * num_classes + pair.voxel_labels_V
        num_G = torch.bincount(group_V, minlength=pair.voxels.batch_size * num_classes)
        counted_V = (pair.voxel_labels_V != 0) & (num_G[group_V] >= 2)
        group_V = group_V[counted_V]
        student_V = _similarity_to_mean(widened(pair.student.voxel_features_VE[counted_V]), group_V, num_G)
        teacher_V = _similarity_to_mean(widened(pair.teacher.voxel_features_VE[counted_V]), group_V, num_G)
        norm, difference_V = self.config.affinity_norm, student_V - teacher_V
        num_rows = sum_over_ranks((torch.ones_like(counted_V) if norm == "padded" else counted_V).sum()).clamp(min=1)
        total = difference_V.abs().sum() if norm == "rows" else difference_V.square().sum()
        return {"ifv": self.config.weight * sum_over_ranks(total) / num_rows}


def _similarity_to_mean(features_VD: torch.Tensor, group_V: torch.Tensor, num_G: torch.Tensor) -> torch.Tensor:
    """Cosine similarity of each voxel to the mean of its group, (V,). `num_G`: number of voxels in each group."""
    sums_GD = features_VD.new_zeros(len(num_G), features_VD.shape[1]).index_add_(0, group_V, features_VD)
    means_GD = sums_GD / num_G.clamp(min=1)[:, None]
    return nn.functional.cosine_similarity(features_VD, means_GD[group_V], dim=1)
