"""What a backend can apply to a convolution's sums before it rounds and stores them. V output sites, O channels."""

from dataclasses import dataclass

import torch

from pvd_core.sparse.backends import offers
from pvd_core.sparse.interfaces import Backend


@dataclass(frozen=True)
class Epilogue:
    """+ bias (the convolution's own), then leaky ReLU with `negative_slope`, then * scale, then + shift, then
    + added; where it `activates_last`, the leaky ReLU comes last. A step whose value is None is left out; a slope of 0
    is ReLU. For inference: it has no gradients."""

    negative_slope: float | None = None
    scale_O: torch.Tensor | None = None
    shift_O: torch.Tensor | None = None
    added_VO: torch.Tensor | None = None
    activates_last: bool = False


def can_fuse(backend: Backend, features: torch.Tensor) -> bool:
    """Whether `backend` may be given epilogues now: it must offer that for such features, and gradients must be off."""
    return not torch.is_grad_enabled() and offers(backend, "convolve_fused", features)
