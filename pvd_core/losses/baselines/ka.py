"""KA, knowledge adaptation (He et al. 2019): compares features in the code space of an auto-encoder of the teacher's.

V voxels, N drawn voxels, D channels of the teacher, H channels of the code.
"""

from dataclasses import dataclass

import torch
from torch import nn

from pvd_core.borders.errors import UserError
from pvd_core.losses.affinity import AFFINITY_NORMS, check_affinity_norm, matrix_distance
from pvd_core.losses.distillation import Channels, DistillationMethod, DistillationPair
from pvd_core.losses.zero import zero_of
from pvd_core.models.norm import Norm
from pvd_core.runtime.precision import widened
from pvd_core.runtime.ranks import rows_of_all_ranks, sum_over_ranks


@dataclass(frozen=True)
class KAConfig:
    adaptation: float = 0.2
    """Coefficient of the adaptation term."""
    affinity: float = 0.15
    """Coefficient of the affinity term."""
    code_channels: int = 32
    sparsity: float = 1e-7
    """Coefficient of the code's absolute values in the auto-encoder's loss."""
    autoencoder_steps: int = 500
    """Number of training steps in which only the auto-encoder learns; the other terms start afterwards."""
    num_affinity_voxels: int = 2048
    """Number of voxels, drawn at random from the batch, whose similarities are compared."""
    affinity_norm: str = "root"
    """root: Frobenius norm over the number of rows, the root of valid; or one of AFFINITY_NORMS. Where the batch has
    fewer voxels, the rest of `num_affinity_voxels` is padding."""

    teacher_fields = ("voxel_features_VE",)

    def __post_init__(self) -> None:
        for name in ("code_channels", "num_affinity_voxels"):
            if not getattr(self, name) > 0:
                raise UserError(f"ka: {name} is {getattr(self, name)}: expected more than 0")
        check_affinity_norm("ka", self.affinity_norm, ("root", *AFFINITY_NORMS))
        if not self.autoencoder_steps >= 0:
            raise UserError(f"ka: autoencoder_steps is {self.autoencoder_steps}: expected at least 0")


class KA(DistillationMethod):
    """Auto-encoder: mean |F_T - D(E(F_T))|^2 + sparsity * mean |E(F_T)|. Adaptation: mean absolute difference of
    A(F_S) / |A(F_S)| and E(F_T) / |E(F_T)|, where A is the learnt adapter. Affinity: Frobenius norm of the difference
    of the two matrices of cosine similarities, divided by the number of voxels (or another `affinity_norm`).

    The auto-encoder keeps learning beside the student; the student's terms treat its code as a constant.
    """

    config: KAConfig
    num_steps: torch.Tensor

    def __init__(self, config: KAConfig, student: Channels, teacher: Channels) -> None:
        super().__init__()
        self.config = config
        code = config.code_channels
        self.encoder = nn.Sequential(nn.Linear(teacher.voxel_features, code), Norm(code), nn.ReLU())
        self.decoder = nn.Linear(code, teacher.voxel_features)
        self.adapter = nn.Sequential(nn.Linear(student.voxel_features, code), Norm(code), nn.ReLU())
        self.register_buffer("num_steps", torch.zeros((), dtype=torch.int64))

    def forward(self, pair: DistillationPair) -> dict[str, torch.Tensor]:
        teacher_VD = widened(pair.teacher.voxel_features_VE)
        num_voxels = sum_over_ranks(torch.tensor(len(teacher_VD), device=teacher_VD.device))
        if num_voxels < 2:
            return {"ka_autoencoder": zero_of(self.decoder.weight)}
        code_VH = self.encoder(teacher_VD)
        reconstruction = _mean((self.decoder(code_VH) - teacher_VD).square(), num_voxels)
        terms = {"ka_autoencoder": reconstruction + self.config.sparsity * _mean(code_VH.abs(), num_voxels)}
        is_ready = float(self.num_steps >= self.config.autoencoder_steps)
        if self.training:
            self.num_steps += 1
        # Also run while it has no effect: DDP expects gradients for all parameters in every step.
        adapted_VH = self.adapter(widened(pair.student.voxel_features_VE))
        student_VH, code_VH = _unit(adapted_VH), _unit(code_VH.detach())
        terms["ka_adaptation"] = is_ready * self.config.adaptation * _mean((student_VH - code_VH).abs(), num_voxels)
        student_VH, code_VH = rows_of_all_ranks(student_VH), rows_of_all_ranks(code_VH)
        rows_N = self._drawn_rows(len(code_VH), pair.generator).to(code_VH.device)
        student_NN = student_VH[rows_N] @ student_VH[rows_N].T
        teacher_NN = code_VH[rows_N] @ code_VH[rows_N].T
        distance = self._distance(student_NN - teacher_NN)
        terms["ka_affinity"] = is_ready * self.config.affinity * distance
        return terms

    def _distance(self, difference_NN: torch.Tensor) -> torch.Tensor:
        config = self.config
        if config.affinity_norm == "root":
            # The small number keeps the gradient of the root finite if both agree.
            return (difference_NN.square().sum() + 1e-12).sqrt() / len(difference_NN)
        return matrix_distance(difference_NN, config.affinity_norm, config.num_affinity_voxels)

    def _drawn_rows(self, num_voxels: int, generator: torch.Generator | None) -> torch.Tensor:
        return torch.randperm(num_voxels, generator=generator)[: self.config.num_affinity_voxels]


def _mean(values_VC: torch.Tensor, num_voxels: torch.Tensor) -> torch.Tensor:
    """Mean over all values of all ranks, which have `num_voxels` rows together."""
    return sum_over_ranks(values_VC.sum()) / (num_voxels * values_VC.shape[1])


def _unit(features_VH: torch.Tensor) -> torch.Tensor:
    return nn.functional.normalize(features_VH, dim=1, eps=1e-8)
