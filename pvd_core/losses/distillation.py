"""The interface of distillation methods: what a method is, and what it is given.

With several ranks a method gets its own rank's part of the batch, with equally many scans on every rank, and returns
the losses of the whole batch. V voxels, P points, C class scores.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import torch
from torch import nn

from pvd_core.models.output import SegmentationOutput
from pvd_core.runtime.ranks import num_ranks
from pvd_core.voxels import VoxelBatch


@dataclass(frozen=True)
class DistillationPair:
    """Outputs of student and teacher for the same voxels of the same scans, and their labels.

    The teacher's tensors have no gradient. Those not in the `teacher_fields` of the method's config may be None.
    """

    student: SegmentationOutput
    teacher: SegmentationOutput
    voxels: VoxelBatch
    voxel_labels_V: torch.Tensor  # int64 (V,), 0 = ignored
    point_labels_P: torch.Tensor  # int64 (P,), 0 = ignored
    is_minority_C: torch.Tensor  # bool (C,): which classes are the rare ones of the taxonomy
    class_weights_C: torch.Tensor | None = None  # float (C,), those of the supervised losses; None: all equal
    generator: torch.Generator | None = None
    """For random draws that concern the whole batch, on the CPU. A resumed run gets one in the same state."""
    scan_generators: tuple[torch.Generator, ...] | None = None
    """For random draws that concern one scan, so that they do not depend on the scan's rank; None: `generator`."""

    @property
    def num_scans(self) -> int:
        """Number of scans in the batch, on all ranks."""
        return self.voxels.batch_size * num_ranks()

    def row_weights(self, labels: torch.Tensor, class_weighted: bool) -> torch.Tensor:
        """Weight of each voxel or point in a mean over the labelled ones, bool or float like `labels`: False or 0 for
        label 0; for other labels the weight of the class if `class_weighted`, else True."""
        if class_weighted and self.class_weights_C is not None:
            return self.class_weights_C[labels] * (labels != 0)
        return labels != 0

    def generator_of(self, scan: int) -> torch.Generator | None:
        """The generator for draws that concern the scan with this number in the batch."""
        return self.generator if self.scan_generators is None else self.scan_generators[scan]

    def voxels_of_scans(self) -> Iterator[slice]:
        """For each scan the slice of its voxels."""
        counts = torch.bincount(self.voxels.coords_V4[:, 0], minlength=self.voxels.batch_size)
        start = 0
        for count in counts.tolist():
            yield slice(start, start + count)
            start += count


@dataclass(frozen=True)
class Channels:
    """Numbers of channels of a network's outputs, which methods with learnable parts need."""

    voxel_features: int
    classes: int


class MethodConfig(Protocol):
    """Settings of a method: a frozen dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def teacher_fields(self) -> tuple[str, ...]:
        """Fields of the teacher's SegmentationOutput that the method reads."""
        ...


class DistillationMethod(nn.Module):
    """A module built from its config and the Channels of student and teacher. `method(pair)` returns {term: scalar
    loss} of a DistillationPair, each loss already multiplied by its coefficient."""

    config: MethodConfig


def needs_points(method_config: MethodConfig) -> bool:
    """Whether a method reads point outputs, and so needs networks that have them."""
    return any(name.startswith("point_") for name in method_config.teacher_fields)
