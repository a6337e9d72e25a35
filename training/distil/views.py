"""A teacher that sees the points of a scan in its own way, on another grid than the student's or several times, flipped
and turned: what it says of the points, for the student's voxels.

P points, V voxels of the student, T of the teacher.
"""

from collections.abc import Sequence

import numpy as np
import torch

from pvd_core.models import Network
from pvd_core.models.output import SegmentationOutput
from pvd_core.voxels import VoxelBatch, Voxeliser
from pvd_core.voxels.reductions import mean_of_points
from training.data.augmentation.votes import VOTES, moved


def sees_voxels_of(network: Network, grid: Voxeliser, votes: int = 1) -> bool:
    """Whether the network sees the voxels of a student's `grid`, and no others."""
    return votes == 1 and network.grid.settings() == grid.settings()


def output_of_views(
    network: Network, points: Sequence[np.ndarray], voxels: VoxelBatch, votes: int, with_points: bool
) -> SegmentationOutput:
    """What `network` says of the `points` of each scan, float32 (N, 4 or 5), as if it had seen `voxels`, the student's
    of the same points.

    Each of the first `votes` of VOTES is a view of the scan, on the network's own grid. A point has the means over the
    views of its own scores and features and of those of the voxel in which it lies; the softmax of mean scores is the
    geometric mean of probabilities. A voxel of the student has the means over its points, float32. Point fields are the
    network's, or where it has none or `with_points` is False those of voxels."""
    total: list[torch.Tensor] = []
    for vote in VOTES[:votes]:
        scans = [torch.from_numpy(moved(each, vote)).to(voxels.coords_V4.device) for each in points]
        own = network.grid.voxelise(scans)
        of_view = _at_points(network(own, with_points=with_points), own)
        total = [a + b for a, b in zip(total, of_view, strict=True)] if total else of_view
    voxel_logits_PC, voxel_features_PE, point_logits_PC, point_features_PD = (each / votes for each in total)
    return SegmentationOutput(
        mean_of_points(voxel_logits_PC, voxels),
        mean_of_points(voxel_features_PE, voxels),
        point_logits_PC,
        point_features_PD,
    )


def _at_points(output: SegmentationOutput, own: VoxelBatch) -> list[torch.Tensor]:
    """The fields of `output` for the voxels `own`, a row for each point, float32."""

    def of_voxels(values_TC: torch.Tensor) -> torch.Tensor:
        return values_TC.float().index_select(0, own.point_to_voxel_P)

    of_points = [of_voxels(output.voxel_logits_VC), of_voxels(output.voxel_features_VE)]
    if output.point_logits_PC is None or output.point_features_PD is None:
        return [*of_points, *of_points]
    return [*of_points, output.point_logits_PC.float(), output.point_features_PD.float()]
