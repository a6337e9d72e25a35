"""Point-to-voxel knowledge distillation (Hou et al., CVPR 2022): outputs and affinities, on points and on voxels.

loss = alpha_1 L_out^p + alpha_2 L_out^v + beta_1 L_aff^p + beta_2 L_aff^v, added to the supervised terms.

P points, V voxels, S supervoxels, K of them drawn, N rows of each.
"""

import math
from dataclasses import dataclass

import torch
from torch import nn

from pvd_core.borders.errors import UserError
from pvd_core.losses.affinity import AFFINITY_NORMS, affinity_loss
from pvd_core.losses.output_distillation import DIRECTIONS, output_distillation
from pvd_core.losses.supervoxels import (
    SAMPLERS,
    SupervoxelPartition,
    choose_rows,
    class_factor,
    draw_supervoxels,
    sampling_weights,
)
from pvd_core.taxonomy import MINORITY_CLASSES

OUTPUT_NORMS = ("active", "dense")
TAPS = ("features", "logits")


@dataclass(frozen=True)
class PVDConfig:
    """Coefficients are the paper's for Cylinder3D; what the paper leaves open has the choices that spec 3 gives."""

    point_output: float = 0.1
    """alpha_1."""
    voxel_output: float = 0.15
    """alpha_2."""
    point_affinity: float = 0.15
    """beta_1."""
    voxel_affinity: float = 0.25
    """beta_2."""
    direction: str = "teacher_student"
    temperature: float = 1.0
    output_norm: str = "active"
    """active: mean over labelled points and voxels; dense: voxels divided by all cells of the grid."""
    includes_ignored: bool = False
    """Whether points and voxels without a label take part in output distillation."""
    class_weighted: bool = False
    """Weigh points and voxels in output distillation by their class, as the supervised losses do."""
    supervoxel_size: tuple[int, int, int] = (120, 60, 8)
    """Voxels along rho, phi, z."""
    sampler: str = "difficulty"
    class_alpha: float = 4.0
    class_beta: float = -2.0
    num_supervoxels: int = 4
    """K, drawn from each scan."""
    with_replacement: bool = False
    num_points: int = 1024
    """N_p, points kept of each supervoxel."""
    num_voxels: int = 512
    """N_v, voxels kept of each supervoxel."""
    affinity_norm: str = "padded"
    point_tap: str = "features"
    """features: last hidden activation of the point refinement; logits: its class scores."""
    voxel_tap: str = "features"
    """features: what enters the classifier; logits: what leaves it."""

    def __post_init__(self):
        object.__setattr__(self, "supervoxel_size", tuple(self.supervoxel_size))
        choices = {
            "direction": DIRECTIONS,
            "output_norm": OUTPUT_NORMS,
            "sampler": SAMPLERS,
            "affinity_norm": AFFINITY_NORMS,
            "point_tap": TAPS,
            "voxel_tap": TAPS,
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise UserError(f"pvd: {name} is {getattr(self, name)!r}: expected one of {', '.join(allowed)}")
        for name in ("point_output", "voxel_output", "point_affinity", "voxel_affinity"):
            if not getattr(self, name) >= 0:
                raise UserError(f"pvd: {name} is {getattr(self, name)}: expected at least 0")
        for name in ("temperature", "num_supervoxels", "num_points", "num_voxels"):
            if not getattr(self, name) > 0:
                raise UserError(f"pvd: {name} is {getattr(self, name)}: expected more than 0")
        if self.class_weighted and self.includes_ignored:
            raise UserError("pvd: class_weighted and includes_ignored are true: rows without a label have no class")
        if len(self.supervoxel_size) != 3 or min(self.supervoxel_size) < 1:
            raise UserError(f"pvd: supervoxel_size is {self.supervoxel_size}: expected three sizes of at least 1")

    @property
    def teacher_fields(self):
        """Fields of the teacher's SegmentationOutput that the terms read."""
        read = {
            "point_logits_PC": self.point_output or (self.point_affinity and self.point_tap == "logits"),
            "point_features_PD": self.point_affinity and self.point_tap == "features",
            "voxel_logits_VC": self.voxel_output or (self.voxel_affinity and self.voxel_tap == "logits"),
            "voxel_features_VE": self.voxel_affinity and self.voxel_tap == "features",
        }
        return tuple(name for name, is_read in read.items() if is_read)


class PVD(nn.Module):
    def __init__(self, config=PVDConfig(), student=None, teacher=None):
        super().__init__()
        self.config = config
        self.partition = SupervoxelPartition(config.supervoxel_size)
        is_minority_C = torch.zeros(256, dtype=torch.bool)
        is_minority_C[list(MINORITY_CLASSES)] = True
        self.register_buffer("is_minority_C", is_minority_C, persistent=False)

    def forward(self, pair):
        return {**self._outputs(pair), **self._affinities(pair)}

    def _outputs(self, pair):
        config, student, teacher = self.config, pair.student, pair.teacher
        how = {"direction": config.direction, "temperature": config.temperature}
        terms = {}
        if config.point_output:
            weights_P = self._weights(pair.point_labels_P, pair)
            loss = output_distillation(student.point_logits_PC, teacher.point_logits_PC, weights_P, **how)
            terms["point_output"] = config.point_output * loss
        if config.voxel_output:
            weights_V = self._weights(pair.voxel_labels_V, pair)
            num_cells = math.prod(pair.voxels.grid.shape) * pair.voxels.batch_size
            num_rows = num_cells if config.output_norm == "dense" else None
            loss = output_distillation(
                student.voxel_logits_VC, teacher.voxel_logits_VC, weights_V, num_rows=num_rows, **how
            )
            terms["voxel_output"] = config.voxel_output * loss
        return terms

    def _affinities(self, pair):
        config, voxels = self.config, pair.voxels
        if not (config.point_affinity or config.voxel_affinity):
            return {}
        supervoxel_V = self.partition.numbers(voxels.coords_V4, voxels.grid)
        is_minority_V = self.is_minority_C[pair.voxel_labels_V]
        drawn_of_scans = self._draw(supervoxel_V, is_minority_V, pair)
        terms = {}
        if config.point_affinity:
            supervoxel_P = supervoxel_V[voxels.point_to_voxel_P]
            is_minority_P = self.is_minority_C[pair.point_labels_P]
            rows_KN = _rows(supervoxel_P, drawn_of_scans, is_minority_P, config.num_points, pair)
            student_PD, teacher_PD = (_point_tap(output, config.point_tap) for output in (pair.student, pair.teacher))
            loss = affinity_loss(student_PD, teacher_PD, rows_KN, config.affinity_norm)
            terms["point_affinity"] = config.point_affinity * loss
        if config.voxel_affinity:
            rows_KN = _rows(supervoxel_V, drawn_of_scans, is_minority_V, config.num_voxels, pair)
            student_VE, teacher_VE = (_voxel_tap(output, config.voxel_tap) for output in (pair.student, pair.teacher))
            loss = affinity_loss(student_VE, teacher_VE, rows_KN, config.affinity_norm)
            terms["voxel_affinity"] = config.voxel_affinity * loss
        return terms

    def _draw(self, supervoxel_V, is_minority_V, pair):
        """Numbers of the supervoxels that this step looks at, an int64 tensor for each scan."""
        config, voxels = self.config, pair.voxels
        distance_S = self.partition.relative_distances(voxels.grid, voxels.batch_size, supervoxel_V.device)
        num_voxels_S = torch.bincount(supervoxel_V, minlength=len(distance_S))
        num_minority_S = torch.bincount(supervoxel_V[is_minority_V], minlength=len(distance_S))
        factor_S = class_factor(num_minority_S, config.class_alpha, config.class_beta)
        weights_S = sampling_weights(config.sampler, num_voxels_S, factor_S, distance_S)
        # Scan by scan, each with its own random numbers.
        weights_BS = weights_S.view(voxels.batch_size, -1)
        return [
            draw_supervoxels(weights, 1, config.num_supervoxels, pair.generator_of(scan), config.with_replacement)
            + scan * len(weights)
            for scan, weights in enumerate(weights_BS)
        ]

    def _weights(self, labels, pair):
        if self.config.includes_ignored:
            return torch.ones_like(labels, dtype=torch.bool)
        return pair.row_weights(labels, self.config.class_weighted)


def _rows(supervoxel_V, drawn_of_scans, is_minority_V, num_rows, pair):
    """`choose_rows` of all scans, int64 (K, num_rows)."""
    rows_of_scans = (
        choose_rows(supervoxel_V, drawn_K, is_minority_V, num_rows, pair.generator_of(scan))
        for scan, drawn_K in enumerate(drawn_of_scans)
    )
    return torch.cat(list(rows_of_scans))


def _point_tap(output, tap):
    return output.point_features_PD if tap == "features" else output.point_logits_PC


def _voxel_tap(output, tap):
    return output.voxel_features_VE if tap == "features" else output.voxel_logits_VC
