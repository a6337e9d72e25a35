"""Reductions over the points of each voxel. P points, V voxels, C channels."""

import torch


def max_of_points(features_PC, batch):
    """Largest value a channel over the points of each voxel, (V, C); differentiable: equal largest points share."""
    return _MaxOfPoints.apply(features_PC, batch.point_to_voxel_P, batch.num_voxels)


def majority_labels(labels_P, point_to_voxel_P, num_voxels, num_classes=256):
    """Most frequent label of each voxel's points, int64 (V,). Label 0 counts like any other; ties give the smallest
    label. `labels_P` integers in 0..num_classes-1."""
    votes_VC = torch.bincount(
        point_to_voxel_P * num_classes + labels_P.long(), minlength=num_voxels * num_classes
    ).view(num_voxels, num_classes)
    # Votes in the high digits, the label's rank in the low ones: no two entries tie.
    rank_C = torch.arange(num_classes - 1, -1, -1, device=votes_VC.device)
    return (votes_VC * num_classes + rank_C).argmax(dim=1)


class _MaxOfPoints(torch.autograd.Function):
    @staticmethod
    def forward(ctx, features_PC, point_to_voxel_P, num_voxels):
        result_VC = features_PC.new_full((num_voxels, features_PC.shape[1]), -torch.inf)
        result_VC.scatter_reduce_(0, point_to_voxel_P[:, None].expand_as(features_PC), features_PC, "amax")
        ctx.save_for_backward(features_PC, result_VC, point_to_voxel_P)
        return result_VC

    @staticmethod
    def backward(ctx, grad_VC):
        features_PC, result_VC, point_to_voxel_P = ctx.saved_tensors
        is_largest_PC = (features_PC == result_VC.index_select(0, point_to_voxel_P)).to(grad_VC.dtype)
        num_largest_VC = torch.zeros_like(grad_VC).index_add_(0, point_to_voxel_P, is_largest_PC)
        share_VC = grad_VC / num_largest_VC
        return is_largest_PC.mul_(share_VC.index_select(0, point_to_voxel_P)), None, None
