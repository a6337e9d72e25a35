"""What every distillation method is given, and the rules that all of them share.

A method is a module: `method(pair)` returns {term: scalar loss}, each already times its coefficient. The teacher's
tensors carry no gradient; those that the method's config does not name in `teacher_fields` may be None. With several
ranks a method gets the pair of its own share of the batch, as many scans on every rank, and returns the terms of the
whole batch. V voxels, P points, C classes.
"""

from dataclasses import dataclass

import torch

from pvd_core.models.output import SegmentationOutput
from pvd_core.runtime.precision import widened
from pvd_core.runtime.ranks import num_ranks
from pvd_core.voxels import VoxelBatch


@dataclass(frozen=True)
class DistillationPair:
    """Student and teacher on the same voxels of the same scans, and the truth."""

    student: SegmentationOutput
    teacher: SegmentationOutput
    voxels: VoxelBatch
    voxel_labels_V: torch.Tensor  # int64 (V,), 0 = ignored
    point_labels_P: torch.Tensor  # int64 (P,), 0 = ignored
    class_weights_C: torch.Tensor | None = None  # float (C,), of the supervised losses; None: all alike
    generator: torch.Generator | None = None
    """On the CPU; what a method draws at random for the batch comes from here, so that a resumed run draws the same."""
    scan_generators: tuple | None = None
    """What it draws for one scan, so that the scan may be on any rank; None: `generator` for all."""

    @property
    def num_scans(self):
        """Of all ranks."""
        return self.voxels.batch_size * num_ranks()

    def row_weights(self, labels, class_weighted):
        """Weight of each voxel or point in a mean over the labelled ones: 0 or 1, or that of its class."""
        if class_weighted and self.class_weights_C is not None:
            return self.class_weights_C[labels] * (labels != 0)
        return labels != 0

    def generator_of(self, scan):
        return self.generator if self.scan_generators is None else self.scan_generators[scan]

    def voxels_of_scans(self):
        """A slice of the voxels for each scan."""
        counts = torch.bincount(self.voxels.coords_V4[:, 0], minlength=self.voxels.batch_size)
        start = 0
        for count in counts.tolist():
            yield slice(start, start + count)
            start += count


@dataclass(frozen=True)
class Channels:
    """Channel counts of a network's outputs, which methods with learnable parts are built from."""

    voxel_features: int
    classes: int


def needs_points(method_config):
    """Whether a method reads point outputs, and so needs networks with point refinement."""
    return any(name.startswith("point_") for name in method_config.teacher_fields)


def zero_of(values):
    """0 that hangs on the graph of `values`."""
    return widened(values.reshape(-1)[:0]).sum()
