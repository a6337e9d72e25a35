"""Reductions over the points of each voxel. P points, V voxels, C channels."""

from typing import Any

import torch

from pvd_core.native import cells
from pvd_core.voxels.batch import PointsInVoxels


def max_of_points(features_PC: torch.Tensor, batch: PointsInVoxels) -> torch.Tensor:
    """Maximum of each channel over the points of each voxel, (V, C). Differentiable: points that share the maximum
    share its gradient equally."""
    return _MaxOfPoints.apply(features_PC, batch.point_to_voxel_P, batch.num_voxels)


def first_of_points(features_PC: torch.Tensor, batch: PointsInVoxels) -> torch.Tensor:
    """Features of the first point of each voxel, the one with the lowest number, (V, C); those of any
    point where a voxel has none, as in programs. Differentiable."""
    point_to_voxel_P = batch.point_to_voxel_P
    points_P = torch.arange(len(point_to_voxel_P), device=point_to_voxel_P.device)
    none_V = points_P.new_full((batch.num_voxels,), len(points_P) - 1)
    first_V = none_V.scatter_reduce_(0, point_to_voxel_P, points_P, "amin")
    return features_PC.index_select(0, first_V)


def mean_of_points(values_PC: torch.Tensor, batch: PointsInVoxels) -> torch.Tensor:
    """Mean of each channel over the points of each voxel, (V, C), 0 where a voxel has none. Of whole numbers it is the
    same in any order of the points."""
    counted_PC = torch.cat((values_PC, torch.ones_like(values_PC[:, :1])), dim=1)
    sums_VC = counted_PC.new_zeros(batch.num_voxels, counted_PC.shape[1])
    sums_VC.index_add_(0, batch.point_to_voxel_P, counted_PC)
    return sums_VC[:, :-1] / sums_VC[:, -1:].clamp(min=1)


def majority_labels(
    labels_P: torch.Tensor, point_to_voxel_P: torch.Tensor, num_voxels: int, num_classes: int = 256
) -> torch.Tensor:
    """Most frequent label among the points of each voxel, int64 (V,); the smallest of equally frequent ones. Label 0
    counts like any other. `labels_P`: integers (P,) in 0..num_classes-1."""
    votes_VC = torch.bincount(
        point_to_voxel_P * num_classes + labels_P.long(), minlength=num_voxels * num_classes
    ).view(num_voxels, num_classes)
    # The label breaks ties: with equally many votes the smaller label has the larger sum.
    tie_break_C = torch.arange(num_classes - 1, -1, -1, device=votes_VC.device)
    return (votes_VC * num_classes + tie_break_C).argmax(dim=1)


class _MaxOfPoints(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features_PC: torch.Tensor, point_to_voxel_P: torch.Tensor, num_voxels: int) -> torch.Tensor:
        result_VC = _maximum(features_PC, point_to_voxel_P, num_voxels)
        ctx.save_for_backward(features_PC, result_VC, point_to_voxel_P)
        return result_VC

    @staticmethod
    def backward(ctx: Any, grad_VC: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        features_PC, result_VC, point_to_voxel_P = ctx.saved_tensors
        if cells.is_usable_for(features_PC):  # with the same result, to the bit
            return cells.maximum_gradient(features_PC, point_to_voxel_P, result_VC, grad_VC), None, None
        is_largest_PC = (features_PC == result_VC.index_select(0, point_to_voxel_P)).to(grad_VC.dtype)
        num_largest_VC = torch.zeros_like(grad_VC).index_add_(0, point_to_voxel_P, is_largest_PC)
        share_VC = grad_VC / num_largest_VC
        return is_largest_PC.mul_(share_VC.index_select(0, point_to_voxel_P)), None, None


def _maximum(features_PC: torch.Tensor, point_to_voxel_P: torch.Tensor, num_voxels: int) -> torch.Tensor:
    if cells.is_usable_for(features_PC):
        return cells.maximum(features_PC, point_to_voxel_P, num_voxels)
    result_VC = features_PC.new_full((num_voxels, features_PC.shape[1]), -torch.inf)
    return result_VC.scatter_reduce_(0, point_to_voxel_P[:, None].expand_as(features_PC), features_PC, "amax")
