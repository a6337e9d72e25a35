"""Batch norm that is one multiply-add in evaluation and sees the rows of all ranks in training. N rows, C channels."""

import torch
from torch import nn

from pvd_core.models.synced_norm import synced_batch_norm
from pvd_core.runtime.ranks import num_ranks


class Norm(nn.BatchNorm1d):
    """BatchNorm1d over rows. In evaluation its running statistics are an affine map, and the generic kernel takes
    several times as long as that on CPUs."""

    def forward(self, features_NC):
        if self.training:
            return super().forward(features_NC) if num_ranks() == 1 else self._synced(features_NC)
        scale_C, shift_C = self.scale_and_shift()
        return torch.addcmul(shift_C, features_NC, scale_C)

    def scale_and_shift(self):
        """(scale, shift), each (C,): what this norm is in evaluation."""
        scale_C = self.weight * torch.rsqrt(self.running_var + self.eps)
        return scale_C, self.bias - self.running_mean * scale_C

    def _synced(self, features_NC):
        normalised_NC, mean_C, variance_C, num_rows = synced_batch_norm(features_NC, self.weight, self.bias, self.eps)
        with torch.no_grad():
            self.num_batches_tracked += 1
            unbiased_C = variance_C * num_rows / (num_rows - 1).clamp(min=1)
            self.running_mean.lerp_(mean_C, self.momentum)
            self.running_var.lerp_(unbiased_C, self.momentum)
        return normalised_NC
