"""SKD, structured knowledge distillation (Liu et al. 2019): class scores of voxels, similarities of regions.

V voxels, N nodes (regions of a scan), D channels.
"""

import math
from dataclasses import dataclass

import torch

from pvd_core.losses.affinity import check_affinity_norm, matrix_distance
from pvd_core.losses.distillation import Channels, DistillationMethod, DistillationPair
from pvd_core.losses.supervoxels import SupervoxelPartition, supervoxel_grid
from pvd_core.losses.zero import zero_of
from pvd_core.runtime.precision import widened
from pvd_core.runtime.ranks import sum_over_ranks


@dataclass(frozen=True)
class SKDConfig:
    pixel: float = 0.15
    """Coefficient of the term on class scores."""
    pair: float = 0.2
    """Coefficient of the term on similarities."""
    node_size: tuple[int, int, int] = (120, 60, 8)
    """Number of cells along (rho, phi, z), see `supervoxel_grid`, whose voxels' features are max-pooled into a node."""
    affinity_norm: str = "valid"
    """See AFFINITY_NORMS. Rows are the nodes with voxels; padded counts those without any too."""

    @property
    def teacher_fields(self) -> tuple[str, ...]:
        read = {"voxel_features_VE": self.pair, "voxel_logits_VC": self.pixel}
        return tuple(name for name, is_read in read.items() if is_read)

    def __post_init__(self) -> None:
        object.__setattr__(self, "node_size", tuple(self.node_size))
        check_affinity_norm("skd", self.affinity_norm)


class SKD(DistillationMethod):
    """Cross-entropy with the teacher's probabilities as targets, mean over labelled voxels; and what the
    difference of the matrices of cosine similarities between nodes counts for by `affinity_norm` (as published the mean
    square), mean over scans. The holistic term (a
    discriminator) is left out, as in the PVD paper's table."""

    config: SKDConfig

    def __init__(
        self, config: SKDConfig = SKDConfig(), student: Channels | None = None, teacher: Channels | None = None
    ) -> None:
        super().__init__()
        self.config = config
        self.partition = SupervoxelPartition(config.node_size)

    def forward(self, pair: DistillationPair) -> dict[str, torch.Tensor]:
        terms = {}
        if self.config.pixel:
            terms["skd_pixel"] = self.config.pixel * _soft_cross_entropy(pair)
        if self.config.pair:
            terms["skd_pair"] = self.config.pair * self._pair_wise(pair)
        return terms

    def _pair_wise(self, pair: DistillationPair) -> torch.Tensor:
        node_V = self.partition.numbers(pair.voxels)
        num_padded = math.prod(self.partition.shape(supervoxel_grid(pair.voxels.grid)))
        total = zero_of(pair.student.voxel_features_VE)
        for voxels in pair.voxels_of_scans():
            if voxels.start == voxels.stop:
                continue
            nodes, node_number_V = torch.unique(node_V[voxels], return_inverse=True)
            student_NN = _gram(pair.student.voxel_features_VE[voxels], node_number_V, len(nodes))
            teacher_NN = _gram(pair.teacher.voxel_features_VE[voxels], node_number_V, len(nodes))
            total = total + matrix_distance(student_NN - teacher_NN, self.config.affinity_norm, num_padded)
        return sum_over_ranks(total) / pair.num_scans


def _soft_cross_entropy(pair: DistillationPair) -> torch.Tensor:
    counted_V = pair.voxel_labels_V != 0
    student_VC = widened(pair.student.voxel_logits_VC[counted_V]).log_softmax(dim=1)
    teacher_VC = widened(pair.teacher.voxel_logits_VC[counted_V]).softmax(dim=1)
    num_counted = sum_over_ranks(counted_V.sum()).clamp(min=1)
    return -sum_over_ranks((teacher_VC * student_VC).sum()) / num_counted


def _gram(features_VD: torch.Tensor, node_V: torch.Tensor, num_nodes: int) -> torch.Tensor:
    """Cosine similarities of the max-pooled nodes, (N, N). The gradient treats the nodes' lengths as constants."""
    features_VD = widened(features_VD)
    nodes_ND = features_VD.new_full((num_nodes, features_VD.shape[1]), -torch.inf)
    nodes_ND = nodes_ND.scatter_reduce(0, node_V[:, None].expand_as(features_VD), features_VD, "amax")
    length_N1 = torch.linalg.vector_norm(nodes_ND.detach(), dim=1, keepdim=True) + 1e-8
    unit_ND = nodes_ND / length_N1
    return unit_ND @ unit_ND.T
