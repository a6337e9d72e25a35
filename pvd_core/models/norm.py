"""Batch norm over the rows of all ranks in training, one multiply-add in evaluation. N rows, C channels."""

import torch
from torch import nn

from pvd_core.models.synced_norm import synced_batch_norm
from pvd_core.runtime.ranks import num_ranks


class Norm(nn.BatchNorm1d):
    """BatchNorm1d over rows (N, C). In evaluation it is an affine map, which CPUs compute several times faster than
    torch's own kernel."""

    # BatchNorm1d declares them as optional; with its default arguments they always exist.
    running_mean: torch.Tensor
    running_var: torch.Tensor
    num_batches_tracked: torch.Tensor
    momentum: float

    def forward(self, features_NC: torch.Tensor) -> torch.Tensor:
        # A single row has no variance: it passes as in evaluation.
        if self.training and (num_ranks() > 1 or len(features_NC) > 1):
            return super().forward(features_NC) if num_ranks() == 1 else self._synced(features_NC)
        scale_C, shift_C = self.scale_and_shift()
        return torch.addcmul(shift_C, features_NC, scale_C)

    def scale_and_shift(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(scale, shift), each (C,): in evaluation this norm is `x * scale + shift`."""
        scale_C = self.weight * torch.rsqrt(self.running_var + self.eps)
        return scale_C, self.bias - self.running_mean * scale_C

    def _synced(self, features_NC: torch.Tensor) -> torch.Tensor:
        normalised_NC, mean_C, variance_C, num_rows = synced_batch_norm(features_NC, self.weight, self.bias, self.eps)
        with torch.no_grad():
            self.num_batches_tracked += 1
            unbiased_C = variance_C * num_rows / (num_rows - 1).clamp(min=1)
            self.running_mean.lerp_(mean_C, self.momentum)
            self.running_var.lerp_(unbiased_C, self.momentum)
        return normalised_NC
