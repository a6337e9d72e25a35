"""A loss of 0 for batches in which nothing counts."""

import torch

from pvd_core.runtime.precision import widened


def zero_of(values: torch.Tensor) -> torch.Tensor:
    """Scalar 0 whose gradient with respect to `values` is zeros, even if `values` holds inf or NaN."""
    return widened(values.reshape(-1)[:0]).sum()
