"""A copy of a network for inference only, in which everything that depends only on its weights is computed already.

N rows, C channels.
"""

import copy
from typing import TypeVar

import torch
from torch import nn

from pvd_core.models import Network
from pvd_core.models.norm import Norm
from pvd_core.sparse import SparseConvolution

_Network = TypeVar("_Network", bound=Network)


class FrozenNorm(nn.Module):
    """The affine map that a Norm is in evaluation."""

    scale_C: torch.Tensor
    shift_C: torch.Tensor

    def __init__(self, norm: Norm) -> None:
        super().__init__()
        for name, value in zip(("scale_C", "shift_C"), norm.scale_and_shift(), strict=True):
            self.register_buffer(name, value.detach().clone())

    def forward(self, features_NC: torch.Tensor) -> torch.Tensor:
        return torch.addcmul(self.shift_C, features_NC, self.scale_C)

    def scale_and_shift(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(scale, shift), each (C,)."""
        return self.scale_C, self.shift_C


@torch.no_grad()
def frozen(model: _Network, dtype: torch.dtype | None = None) -> _Network:
    """An independent copy of `model` in evaluation mode: later changes of `model` do not affect it. Norms are affine
    maps; weights of sparse convolutions have `dtype` if one is given."""
    # The backend is a Python module, which cannot be copied: the copy refers to the same one.
    result = copy.deepcopy(model, {id(model.backend): model.backend}).eval().requires_grad_(False)
    for module in result.modules():
        for name, norm in module.named_children():
            if isinstance(norm, Norm):
                setattr(module, name, FrozenNorm(norm))  # it has all that layers call
        if isinstance(module, SparseConvolution) and dtype is not None:
            module.weight = nn.Parameter(module.weight.to(dtype), requires_grad=False)
    return result
