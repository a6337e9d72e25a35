"""Teachers that see the points of a scan in their own way, on another grid than the student's or several times, flipped
and turned: what they say of the points, for the student's voxels.

P points, V voxels of the student, T of the teacher.
"""

import functools
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch

from pvd_core.models import Network
from pvd_core.models.output import SegmentationOutput
from pvd_core.voxels import VoxelBatch, Voxeliser
from pvd_core.voxels.reductions import mean_of_points
from training.data.augmentation.votes import VOTES, moved


def sees_voxels_of(networks: Sequence[Network], grid: Voxeliser, votes: int = 1) -> bool:
    """Whether there is one network, which sees the voxels of a student's `grid` and no others."""
    return len(networks) == 1 and votes == 1 and networks[0].grid.settings() == grid.settings()


def output_of_views(
    networks: Sequence[Network], points: Sequence[np.ndarray], voxels: VoxelBatch, votes: int, with_points: bool
) -> SegmentationOutput:
    """What `networks` say together of the `points` of each scan, float32 (N, 4 or 5), as if they had seen `voxels`, the
    student's of the same points.

    Each of the first `votes` of VOTES is a view of the scan, on each network's own grid. A point has the means over the
    views of its own scores and features and of those of the voxel in which it lies. Scores are then means over the
    networks, of which each counts as much; the softmax of mean scores is the geometric mean of probabilities. Features
    are the first network's. A voxel of the student has the means over its points, float32. Point fields are those of a
    network's points, or where it has none or `with_points` is False those of its voxels."""
    seen = [_means_of_views(network, points, voxels.coords_V4.device, votes, with_points) for network in networks]
    return SegmentationOutput(
        mean_of_points(_mean(each.voxel_logits_PC for each in seen), voxels),
        mean_of_points(seen[0].voxel_features_PE, voxels),
        _mean(each.point_logits_PC for each in seen),
        seen[0].point_features_PD,
    )


class _AtPoints(NamedTuple):
    """A row for each point, float32: what a network says of the voxel that the point lies in, and of the point."""

    voxel_logits_PC: torch.Tensor
    voxel_features_PE: torch.Tensor
    point_logits_PC: torch.Tensor
    point_features_PD: torch.Tensor


def _means_of_views(
    network: Network, points: Sequence[np.ndarray], device: torch.device, votes: int, with_points: bool
) -> _AtPoints:
    of_views = []
    for vote in VOTES[:votes]:
        own = network.grid.voxelise([torch.from_numpy(moved(each, vote)).to(device) for each in points])
        of_views.append(_at_points(network(own, with_points=with_points), own))
    return _AtPoints(*map(_mean, zip(*of_views, strict=True)))


def _at_points(output: SegmentationOutput, own: VoxelBatch) -> _AtPoints:
    """The fields of `output` for the voxels `own`."""

    def of_voxels(values_TC: torch.Tensor) -> torch.Tensor:
        return values_TC.float().index_select(0, own.point_to_voxel_P)

    logits_PC, features_PE = of_voxels(output.voxel_logits_VC), of_voxels(output.voxel_features_VE)
    if output.point_logits_PC is None or output.point_features_PD is None:
        return _AtPoints(logits_PC, features_PE, logits_PC, features_PE)
    return _AtPoints(logits_PC, features_PE, output.point_logits_PC.float(), output.point_features_PD.float())


def _mean(tensors: Iterable[torch.Tensor]) -> torch.Tensor:
    addends = tuple(tensors)
    return functools.reduce(torch.add, addends) / len(addends)
