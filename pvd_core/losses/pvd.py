"""Point-to-voxel knowledge distillation (Hou et al., CVPR 2022): outputs and affinities, on points and on voxels.

loss = alpha_1 L_out^p + alpha_2 L_out^v + beta_1 L_aff^p + beta_2 L_aff^v, added to the supervised losses.

P points, V voxels, S supervoxels, K drawn supervoxels, N rows of each, B scans.
"""

import math
from dataclasses import dataclass

import torch

from pvd_core.borders.errors import UserError
from pvd_core.losses.affinity import AFFINITY_NORMS, affinity_loss
from pvd_core.losses.distillation import Channels, DistillationMethod, DistillationPair
from pvd_core.losses.output_distillation import DIRECTIONS, output_distillation
from pvd_core.losses.supervoxels import (
    SAMPLERS,
    SupervoxelPartition,
    choose_rows,
    draw_supervoxels,
    supervoxel_weights,
)

_OUTPUT_NORMS = ("rows", "active", "dense")
_OUTPUT_ROWS = ("labelled", "all", "unlabelled")

# Field of SegmentationOutput whose affinities are compared.
_POINT_TAPS = {"features": "point_features_PD", "logits": "point_logits_PC"}
_VOXEL_TAPS = {"features": "voxel_features_VE", "logits": "voxel_logits_VC"}


@dataclass(frozen=True)
class PVDConfig:
    """The coefficients are the paper's for Cylinder3D. What the paper leaves open can be chosen. Impossible settings
    raise UserError."""

    point_output: float = 0.1
    """alpha_1."""
    voxel_output: float = 0.15
    """alpha_2."""
    point_affinity: float = 0.15
    """beta_1."""
    voxel_affinity: float = 0.25
    """beta_2."""
    direction: str = "teacher_student"
    """Of the KL divergence: teacher_student is KL(teacher || student), student_teacher the reverse."""
    temperature: float = 1.0
    output_norm: str = "rows"
    """rows: mean over `output_rows` of the divergence, as in KD; active: that divided by the number of classes; dense:
    as active, but for voxels the mean is over all cells of the grid."""
    output_rows: str = "labelled"
    """Points and voxels whose outputs are distilled. labelled: those that have a label; all: those without one too;
    unlabelled: those without one alone, each as strongly as with all. For scans of which few points have a label."""
    class_weighted: bool = False
    """Whether output distillation weights points and voxels by their class, as the supervised losses do."""
    supervoxel_size: tuple[int, int, int] = (120, 60, 8)
    """Number of cells along (rho, phi, z), see `supervoxel_grid`."""
    sampler: str = "difficulty"
    """By what supervoxels are drawn: difficulty, class, distance or random; see `sampling_weights`."""
    class_alpha: float = 4.0
    """alpha in f_class, see `class_factor`."""
    class_beta: float = -2.0
    """beta in f_class."""
    num_supervoxels: int = 4
    """K, the number of supervoxels drawn from each scan."""
    with_replacement: bool = False
    num_points: int = 1024
    """N_p, the number of points kept in each supervoxel."""
    num_voxels: int = 512
    """N_v, the number of voxels kept in each supervoxel."""
    affinity_norm: str = "padded"
    """padded: differences of affinities are squared and averaged over all N^2 pairs; valid: over the pairs of real
    rows, without padding; rows: the mean over real rows of the norm of a row of differences."""
    point_tap: str = "features"
    """Whose affinities are compared. features: last hidden activation of the point refinement; logits: class scores."""
    voxel_tap: str = "features"
    """features: what enters the classifier of voxels; logits: class scores."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "supervoxel_size", tuple(self.supervoxel_size))
        choices: dict[str, tuple[str, ...]] = {
            "direction": DIRECTIONS,
            "output_norm": _OUTPUT_NORMS,
            "output_rows": _OUTPUT_ROWS,
            "sampler": SAMPLERS,
            "affinity_norm": AFFINITY_NORMS,
            "point_tap": tuple(_POINT_TAPS),
            "voxel_tap": tuple(_VOXEL_TAPS),
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
        if self.class_weighted and self.output_rows != "labelled":
            raise UserError(
                f"pvd: class_weighted is true and output_rows {self.output_rows}, but points without a label have no "
                "class: set class_weighted to false, or output_rows to labelled"
            )
        if len(self.supervoxel_size) != 3 or min(self.supervoxel_size) < 1:
            raise UserError(f"pvd: supervoxel_size is {self.supervoxel_size}: expected three sizes of at least 1")

    @property
    def teacher_fields(self) -> tuple[str, ...]:
        """Fields of the teacher's SegmentationOutput that the terms read."""
        read = {
            "point_logits_PC": self.point_output or (self.point_affinity and self.point_tap == "logits"),
            "point_features_PD": self.point_affinity and self.point_tap == "features",
            "voxel_logits_VC": self.voxel_output or (self.voxel_affinity and self.voxel_tap == "logits"),
            "voxel_features_VE": self.voxel_affinity and self.voxel_tap == "features",
        }
        return tuple(name for name, is_read in read.items() if is_read)


class PVD(DistillationMethod):
    """Output distillation and affinity distillation, on points and on voxels. A term with coefficient 0 is left out."""

    config: PVDConfig

    def __init__(
        self, config: PVDConfig = PVDConfig(), student: Channels | None = None, teacher: Channels | None = None
    ) -> None:
        super().__init__()
        self.config = config
        self.partition = SupervoxelPartition(config.supervoxel_size)

    def forward(self, pair: DistillationPair) -> dict[str, torch.Tensor]:
        return {**self._outputs(pair), **self._affinities(pair)}

    def _outputs(self, pair: DistillationPair) -> dict[str, torch.Tensor]:
        config, terms = self.config, {}
        if config.point_output:
            terms["point_output"] = config.point_output * self._output(pair, "point_logits_PC", pair.point_labels_P)
        if config.voxel_output:
            num_cells = math.prod(pair.voxels.shape) * pair.voxels.batch_size
            num_rows = num_cells if config.output_norm == "dense" else None
            loss = self._output(pair, "voxel_logits_VC", pair.voxel_labels_V, num_rows)
            terms["voxel_output"] = config.voxel_output * loss
        return terms

    def _output(
        self, pair: DistillationPair, field: str, labels: torch.Tensor, num_rows: int | None = None
    ) -> torch.Tensor:
        config = self.config
        if config.output_rows == "labelled":
            weights = pair.row_weights(labels, config.class_weighted)
        else:
            weights = (labels == 0) | (config.output_rows == "all")
            num_rows = num_rows or len(labels)
        logits = getattr(pair.student, field), getattr(pair.teacher, field)
        loss = output_distillation(*logits, weights, config.direction, config.temperature, num_rows)
        return loss if config.output_norm == "rows" else loss / logits[0].shape[1]

    def _affinities(self, pair: DistillationPair) -> dict[str, torch.Tensor]:
        config, voxels = self.config, pair.voxels
        if not (config.point_affinity or config.voxel_affinity):
            return {}
        supervoxel_V = self.partition.numbers(voxels)
        is_minority_V = pair.is_minority_C[pair.voxel_labels_V]
        drawn_of_scans = self._draw(supervoxel_V, is_minority_V, pair)
        terms = {}
        if config.point_affinity:
            supervoxel_P = supervoxel_V[voxels.point_to_voxel_P]
            is_minority_P = pair.is_minority_C[pair.point_labels_P]
            rows_KN = _rows(supervoxel_P, drawn_of_scans, is_minority_P, config.num_points, pair)
            loss = self._affinity(pair, _POINT_TAPS[config.point_tap], rows_KN)
            terms["point_affinity"] = config.point_affinity * loss
        if config.voxel_affinity:
            rows_KN = _rows(supervoxel_V, drawn_of_scans, is_minority_V, config.num_voxels, pair)
            loss = self._affinity(pair, _VOXEL_TAPS[config.voxel_tap], rows_KN)
            terms["voxel_affinity"] = config.voxel_affinity * loss
        return terms

    def _affinity(self, pair: DistillationPair, field: str, rows_KN: torch.Tensor) -> torch.Tensor:
        features = getattr(pair.student, field), getattr(pair.teacher, field)
        return affinity_loss(*features, rows_KN, self.config.affinity_norm)

    def _draw(
        self, supervoxel_V: torch.Tensor, is_minority_V: torch.Tensor, pair: DistillationPair
    ) -> list[torch.Tensor]:
        """For each scan the numbers of the supervoxels that this step compares, int64."""
        config, voxels = self.config, pair.voxels
        weights_S = supervoxel_weights(
            self.partition,
            voxels,
            supervoxel_V,
            is_minority_V,
            config.sampler,
            config.class_alpha,
            config.class_beta,
        )
        # Scan by scan, because each has its own random numbers.
        weights_BS = weights_S.view(voxels.batch_size, -1)
        return [
            draw_supervoxels(weights, config.num_supervoxels, pair.generator_of(scan), config.with_replacement)
            + scan * len(weights)
            for scan, weights in enumerate(weights_BS)
        ]


def _rows(
    supervoxel_V: torch.Tensor,
    drawn_of_scans: list[torch.Tensor],
    is_minority_V: torch.Tensor,
    num_rows: int,
    pair: DistillationPair,
) -> torch.Tensor:
    """`choose_rows` of all scans, int64 (K, num_rows)."""
    rows_of_scans = (
        choose_rows(supervoxel_V, drawn_K, is_minority_V, num_rows, pair.generator_of(scan))
        for scan, drawn_K in enumerate(drawn_of_scans)
    )
    return torch.cat(list(rows_of_scans))
