"""A teacher on another grid than the student's, perhaps of another family: what it says of points, for the student's
voxels.

P points, V voxels of the student, T of the teacher.
"""

import torch

from pvd_core.models import Network
from pvd_core.models.output import SegmentationOutput
from pvd_core.voxels import VoxelBatch, Voxeliser
from pvd_core.voxels.reductions import mean_of_points


def has_grid_of(network: Network, grid: Voxeliser) -> bool:
    """Whether the network sees the voxels of `grid`."""
    return network.grid.settings() == grid.settings()


def on_voxels_of_student(output: SegmentationOutput, own: VoxelBatch, voxels: VoxelBatch) -> SegmentationOutput:
    """The teacher's `output` for its voxels `own`, as if it had the student's `voxels` of the same points: a voxel has
    the means of the scores and of the features of the teacher's voxels in which its points lie, float32. Point fields
    are the teacher's, or where it has none those of the voxel in which a point lies."""

    def at_points(values_TC: torch.Tensor) -> torch.Tensor:
        return values_TC.float().index_select(0, own.point_to_voxel_P)

    logits_PC, features_PE = at_points(output.voxel_logits_VC), at_points(output.voxel_features_VE)
    has_points = output.point_logits_PC is not None
    return SegmentationOutput(
        mean_of_points(logits_PC, voxels),
        mean_of_points(features_PE, voxels),
        output.point_logits_PC if has_points else logits_PC,
        output.point_features_PD if has_points else features_PE,
    )
