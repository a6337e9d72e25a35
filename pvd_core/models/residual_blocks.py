"""Blocks of MinkUNet and its kin: convolution, norm, ReLU; residual blocks of two convolutions (spec 5.2)."""

import itertools

import torch
from torch import nn

from pvd_core.models.norm import Norm
from pvd_core.sparse import InverseConvolution, SparseTensor, StridedConvolution, SubmanifoldConvolution
from pvd_core.sparse.epilogue import Epilogue, can_fuse
from pvd_core.sparse.interfaces import AnySites, Triple
from pvd_core.sparse.tensor import autocast

_NEIGHBOURS: Triple = (3, 3, 3)
HALVES: Triple = (2, 2, 2)  # kernel and stride of the steps between levels
_ITSELF: Triple = (1, 1, 1)


class ConvNorm(nn.Module):
    """Convolution, norm, and ReLU unless `is_linear`."""

    def __init__(
        self,
        conv: SubmanifoldConvolution | StridedConvolution | InverseConvolution,
        is_linear: bool = False,
    ) -> None:
        super().__init__()
        self.conv, self.norm, self.is_linear = conv, Norm(conv.weight.shape[2]), is_linear

    def forward(
        self, tensor: SparseTensor, *fine_sites: AnySites, added_VC: torch.Tensor | None = None
    ) -> SparseTensor:
        """`fine_sites`: where an inverse convolution leads to. `added_VC` joins what a linear one gives, before a ReLU
        after all."""
        slope = None if self.is_linear and added_VC is None else 0.0
        if not self.training and can_fuse(tensor.sites.backend, tensor.features_VC):
            if added_VC is not None:
                added_VC = autocast(added_VC)[0]
            steps = Epilogue(slope, *self.norm.scale_and_shift(), added_VC, activates_last=True)
            return self.conv(tensor, *fine_sites, epilogue=steps)
        tensor = self.conv(tensor, *fine_sites)
        features_VC, in_place = self.norm(tensor.features_VC), not torch.is_grad_enabled()
        if added_VC is not None:
            features_VC = features_VC.add_(added_VC) if in_place else features_VC + added_VC
        return tensor.with_features(features_VC if slope is None else nn.functional.relu(features_VC, in_place))


class ResidualBlock(nn.Module):
    """relu(two 3x3x3 convolutions + the input); a `projects` block takes the input through a 1x1x1 convolution."""

    def __init__(self, in_channels: int, inner: int, out_channels: int, projects: bool) -> None:
        super().__init__()
        self.first = ConvNorm(SubmanifoldConvolution(in_channels, inner, _NEIGHBOURS))
        self.second = ConvNorm(SubmanifoldConvolution(inner, out_channels, _NEIGHBOURS), is_linear=True)
        shortcut = SubmanifoldConvolution(in_channels, out_channels, _ITSELF)
        self.shortcut = ConvNorm(shortcut, is_linear=True) if projects else None

    def forward(self, tensor: SparseTensor) -> SparseTensor:
        kept = tensor if self.shortcut is None else self.shortcut(tensor)
        return self.second(self.first(tensor), added_VC=kept.features_VC)


def down_step(in_channels: int, out_channels: int) -> ConvNorm:
    """To the sites of half the resolution."""
    return ConvNorm(StridedConvolution(in_channels, out_channels, HALVES, kernel=HALVES))


def up_step(in_channels: int, out_channels: int) -> ConvNorm:
    """Back from them."""
    return ConvNorm(InverseConvolution(in_channels, out_channels, HALVES, kernel=HALVES))


def stem(in_channels: int, channels: int) -> nn.Sequential:
    """Two convolutions at full resolution."""
    sizes = (in_channels, channels, channels)
    layers = (SubmanifoldConvolution(a, b, _NEIGHBOURS) for a, b in itertools.pairwise(sizes))
    return nn.Sequential(*map(ConvNorm, layers))
