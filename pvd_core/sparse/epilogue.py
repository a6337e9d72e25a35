"""What a backend may do to a convolution's sums before it rounds and stores them. O output channels."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Epilogue:
    """+ bias (the convolution's own), then leaky ReLU with `negative_slope`, then * scale, then + shift. None leaves a
    step out. For inference: it has no gradients."""

    negative_slope: float | None = None
    scale_O: torch.Tensor | None = None
    shift_O: torch.Tensor | None = None


def can_fuse(backend):
    """Whether epilogues may be handed to `backend` now: it must offer them, and nobody may want gradients."""
    return hasattr(backend, "convolve_fused") and not torch.is_grad_enabled()
