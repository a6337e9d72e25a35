"""A copy of a network for inference alone, with everything computed that depends on its weights alone."""

import copy

import torch
from torch import nn

from pvd_core.models.blocks import ConvActNorm, ConvNormSigmoid
from pvd_core.sparse import SparseConvolution


class FrozenNorm(nn.Module):
    """A Norm as the affine map that it is in evaluation."""

    def __init__(self, norm):
        super().__init__()
        for name, value in zip(("scale_C", "shift_C"), norm.scale_and_shift(), strict=True):
            self.register_buffer(name, value.detach().clone())

    def forward(self, features_NC):
        return torch.addcmul(self.shift_C, features_NC, self.scale_C)

    def scale_and_shift(self):
        return self.scale_C, self.shift_C


@torch.no_grad()
def frozen(model, dtype=None):
    """A copy of `model`, in evaluation mode, that later changes of `model` do not reach: norms behind convolutions are
    affine maps, weights of sparse convolutions have `dtype` where one is given."""
    # A backend is a Python module, which cannot be copied.
    result = copy.deepcopy(model, {id(model.backend): model.backend}).eval().requires_grad_(False)
    for module in result.modules():
        if isinstance(module, ConvActNorm | ConvNormSigmoid):
            module.norm = FrozenNorm(module.norm)
        elif isinstance(module, SparseConvolution) and dtype is not None:
            module.weight = nn.Parameter(module.weight.to(dtype), requires_grad=False)
    return result
