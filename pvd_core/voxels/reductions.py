"""Reductions over the points of each voxel. P points, V voxels, C channels."""

import torch


def max_of_points(features_PC, batch):
    """Largest value a channel over the points of each voxel, (V, C); differentiable (first largest point)."""
    return _MaxOfPoints.apply(features_PC, batch.points_by_voxel_P, batch.num_points_V, batch.point_to_voxel_P)


def majority_labels(labels_P, point_to_voxel_P, num_voxels, num_classes=256):
    """Most frequent label of each voxel's points, int64 (V,). Label 0 counts like any other; ties give the smallest
    label. `labels_P` integers in 0..num_classes-1."""
    votes = torch.bincount(
        point_to_voxel_P * num_classes + labels_P.long(), minlength=num_voxels * num_classes
    )
    return votes.view(num_voxels, num_classes).argmax(dim=1)


class _MaxOfPoints(torch.autograd.Function):
    @staticmethod
    def forward(ctx, features_PC, points_by_voxel_P, num_points_V, point_to_voxel_P):
        num_voxels, num_channels = len(num_points_V), features_PC.shape[1]
        index_PC = point_to_voxel_P[:, None].expand(-1, num_channels)
        result_VC = features_PC.new_full((num_voxels, num_channels), -torch.inf)
        result_VC.scatter_reduce_(0, index_PC, features_PC, "amax")
        ctx.save_for_backward(features_PC, result_VC, points_by_voxel_P, num_points_V, point_to_voxel_P)
        return result_VC

    @staticmethod
    def backward(ctx, grad_VC):
        features_PC, result_VC, _, num_points_V, point_to_voxel_P = ctx.saved_tensors
        is_largest_PC = features_PC == result_VC.index_select(0, point_to_voxel_P)
        num_points, num_channels = features_PC.shape
        numbers_PC = torch.where(
            is_largest_PC, torch.arange(num_points, device=grad_VC.device)[:, None], num_points
        )
        first_VC = torch.full_like(grad_VC, num_points, dtype=torch.long)
        first_VC.scatter_reduce_(0, point_to_voxel_P[:, None].expand(-1, num_channels), numbers_PC, "amin")
        grad_PC = grad_VC.new_zeros(num_points, num_channels)
        grad_PC.scatter_(0, first_VC, grad_VC)
        return grad_PC, None, None, None
