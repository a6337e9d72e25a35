"""Batch norm over the rows of all ranks, on any device (torch.nn.SyncBatchNorm needs a GPU).

N rows of this rank, C channels, R ranks.
"""

from typing import Any

import torch
import torch.distributed

from pvd_core.runtime.precision import widened
from pvd_core.runtime.ranks import gathered


def synced_batch_norm(
    features_NC: torch.Tensor, weight_C: torch.Tensor, bias_C: torch.Tensor, eps: float
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """(normalised features (N, C), mean (C,), biased variance (C,), number of rows of all ranks), the last three
    float32 or float64 and without gradient. N may be 0 on some ranks. Every rank must call it."""
    mean_C, variance_C, num_rows = _statistics(features_NC.detach())
    scale_C = torch.rsqrt(variance_C + eps)
    normalised_NC = _SyncedNorm.apply(features_NC, weight_C, bias_C, mean_C, scale_C, num_rows)
    return normalised_NC, mean_C, variance_C, num_rows


def _statistics(features_NC: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(mean (C,), biased variance (C,), number of rows) of all ranks, from those of each rank by Chan's formula, which
    does not subtract large squares from each other."""
    features_NC, own_count = widened(features_NC), max(len(features_NC), 1)
    own_mean_C = features_NC.sum(dim=0) / own_count
    own_squares_C = (features_NC - own_mean_C).square().sum(dim=0)
    count_1 = own_mean_C.new_full((1,), len(features_NC), dtype=torch.float64)
    packed_RC = gathered(torch.cat((own_mean_C.double(), own_squares_C.double(), count_1)))
    num_channels = len(own_mean_C)
    means_RC, squares_RC, count_R1 = packed_RC.split((num_channels, num_channels, 1), dim=1)
    num_rows = count_R1.sum().clamp(min=1)
    mean_C = (count_R1 * means_RC).sum(dim=0) / num_rows
    squares_C = (squares_RC + count_R1 * (means_RC - mean_C).square()).sum(dim=0)
    dtype = features_NC.dtype
    return mean_C.to(dtype), (squares_C / num_rows).to(dtype), num_rows.to(dtype)


class _SyncedNorm(torch.autograd.Function):
    """y = weight * (x - mean) * scale + bias, where mean and scale depend on the rows of all ranks."""

    @staticmethod
    def forward(
        ctx: Any,
        features_NC: torch.Tensor,
        weight_C: torch.Tensor,
        bias_C: torch.Tensor,
        mean_C: torch.Tensor,
        scale_C: torch.Tensor,
        num_rows: torch.Tensor,
    ) -> torch.Tensor:
        ctx.save_for_backward(features_NC, weight_C, mean_C, scale_C, num_rows)
        whitened_NC = (widened(features_NC) - mean_C) * scale_C
        return torch.addcmul(bias_C, whitened_NC, weight_C).to(features_NC.dtype)

    @staticmethod
    def backward(ctx: Any, grad_NC: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        features_NC, weight_C, mean_C, scale_C, num_rows = ctx.saved_tensors
        grad_NC = widened(grad_NC)
        whitened_NC = (widened(features_NC) - mean_C) * scale_C
        grad_weight_C, grad_bias_C = (grad_NC * whitened_NC).sum(dim=0), grad_NC.sum(dim=0)
        # Mean and variance depend on every row of every rank.
        totals_2C = torch.stack((grad_weight_C, grad_bias_C))
        torch.distributed.all_reduce(totals_2C)
        along_C, mean_grad_C = totals_2C / num_rows
        grad_features_NC = (grad_NC - mean_grad_C - whitened_NC * along_C) * (scale_C * weight_C)
        return grad_features_NC.to(features_NC.dtype), grad_weight_C, grad_bias_C, None, None, None
