"""Outputs of a made-up student and teacher on made-up voxels, for the tests of the distillation losses."""

import torch

from pvd_core.losses.distillation import DistillationPair
from pvd_core.models.output import SegmentationOutput
from pvd_core.taxonomy import SEMANTICKITTI
from pvd_core.voxels import CylindricalGrid, majority_labels

GRID = CylindricalGrid(shape=(12, 10, 6))


def make_pair(seed=0, num_points=(60, 45), channels=(5, 7), dtype=torch.float64, grid=GRID, taxonomy=SEMANTICKITTI):
    """A DistillationPair of scans with `num_points` points and `channels` feature channels of student and teacher; the
    student's tensors want gradients."""
    generator = torch.Generator().manual_seed(seed)
    scans = [_scan(count, generator) for count in num_points]
    voxels = grid.voxelise(scans)
    point_labels_P = torch.randint(0, taxonomy.num_classes, (sum(num_points),), generator=generator)
    voxel_labels_V = majority_labels(point_labels_P, voxels.point_to_voxel_P, voxels.num_voxels, taxonomy.num_classes)
    student, teacher = (_output(voxels, taxonomy.num_classes, count, generator, dtype) for count in channels)
    for tensor in vars(student).values():
        tensor.requires_grad_()
    return DistillationPair(
        student,
        teacher,
        voxels,
        voxel_labels_V,
        point_labels_P,
        torch.from_numpy(taxonomy.is_minority_C),
        generator=torch.Generator().manual_seed(seed),
    )


def _scan(num_points, generator):
    low, high = torch.tensor([-45.0, -45, -3, 0]), torch.tensor([45.0, 45, 2, 1])
    return low + torch.rand(num_points, 4, generator=generator) * (high - low)


def _output(voxels, num_classes, channels, generator, dtype):
    def random(rows, columns):
        return torch.randn(rows, columns, generator=generator, dtype=dtype)

    num_voxels, num_points = voxels.num_voxels, len(voxels.point_to_voxel_P)
    return SegmentationOutput(
        random(num_voxels, num_classes),
        random(num_voxels, channels),
        random(num_points, num_classes),
        random(num_points, channels + 1),
    )
