"""Blocks of the asymmetric sparse U-Net of Cylinder3D. Channel counts as in spec tables; kernels (rho, phi, z).

The activation comes before the norm: conv, LeakyReLU(0.01), BatchNorm. So the norm cannot be folded into the
convolution that precedes it; a backend that can applies both to its sums before it stores them.
"""

from dataclasses import dataclass

import torch
from torch import nn

from pvd_core.models.norm import Norm
from pvd_core.sparse import InverseConvolution, StridedConvolution, SubmanifoldConvolution
from pvd_core.sparse.epilogue import Epilogue, can_fuse

_NEGATIVE_SLOPE = 0.01

Kernel = tuple[int, int, int]


@dataclass(frozen=True)
class KernelPlan:
    """Which kernel each layer of a block applies.

    `as_written` is what the published source says. `as_trained` is what spconv 1.x computed when it trained the
    published weights: convolutions that shared an `indice_key` reused the first one's kernel map.
    """

    stem: tuple[Kernel, Kernel]  # (first, second) layer of branch A; branch B has them swapped
    encoder: tuple[Kernel, Kernel]
    decoder: tuple[Kernel, Kernel, Kernel]
    context: tuple[Kernel, Kernel, Kernel]


KERNEL_PLANS = {
    "as_written": KernelPlan(
        stem=((1, 3, 3), (3, 1, 3)),
        encoder=((3, 1, 3), (1, 3, 3)),
        decoder=((1, 3, 3), (3, 1, 3), (3, 3, 3)),
        context=((3, 1, 1), (1, 3, 1), (1, 1, 3)),
    ),
    "as_trained": KernelPlan(
        stem=((1, 3, 3), (1, 3, 3)),
        encoder=((3, 1, 3), (3, 1, 3)),
        decoder=((1, 3, 3), (1, 3, 3), (1, 3, 3)),
        context=((3, 1, 1), (3, 1, 1), (3, 1, 1)),
    ),
}


class ConvActNorm(nn.Module):
    def __init__(self, in_channels, out_channels, kernel):
        super().__init__()
        self.conv = SubmanifoldConvolution(in_channels, out_channels, kernel)
        self.norm = Norm(out_channels)

    def forward(self, tensor):
        if not self.training and can_fuse(tensor.sites.backend):
            return self.conv(tensor, Epilogue(_NEGATIVE_SLOPE, *self.norm.scale_and_shift()))
        tensor = self.conv(tensor)
        activated_VC = nn.functional.leaky_relu(tensor.features_VC, _NEGATIVE_SLOPE, inplace=not self.training)
        return tensor.with_features(self.norm(activated_VC))


class TwoBranches(nn.Module):
    """Two branches of two layers with their kernels in opposite order; the outputs are added."""

    def __init__(self, in_channels, out_channels, kernels):
        super().__init__()
        first, second = kernels
        self.branch_a = _two_layers(in_channels, out_channels, first, second)
        self.branch_b = _two_layers(in_channels, out_channels, second, first)

    def forward(self, tensor):
        branch_a, branch_b = self.branch_a(tensor), self.branch_b(tensor)
        return tensor.with_features(branch_a.features_VC + branch_b.features_VC)


class EncoderBlock(TwoBranches):
    """Two branches, then a strided convolution. Returns (downsampled, skip)."""

    def __init__(self, in_channels, out_channels, kernels, stride):
        super().__init__(in_channels, out_channels, kernels)
        self.down = StridedConvolution(out_channels, out_channels, stride)

    def forward(self, tensor):
        skip = super().forward(tensor)
        return self.down(skip), skip


class DecoderBlock(nn.Module):
    """A layer on the coarse sites, inverse convolution to the skip's sites, sum with the skip, three layers."""

    def __init__(self, in_channels, out_channels, kernels, stride):
        super().__init__()
        self.pre = ConvActNorm(in_channels, out_channels, (3, 3, 3))
        self.up = InverseConvolution(out_channels, out_channels, stride)
        self.post = nn.Sequential(*(ConvActNorm(out_channels, out_channels, kernel) for kernel in kernels))

    def forward(self, tensor, skip):
        upsampled = self.up(self.pre(tensor), skip.sites)
        return self.post(skip.with_features(upsampled.features_VC + skip.features_VC))


class ContextGate(nn.Module):
    """Dimension-decomposition context: three sigmoid gates of one-dimensional convolutions, summed, times the input."""

    def __init__(self, channels, kernels):
        super().__init__()
        self.gates = nn.ModuleList(ConvNormSigmoid(channels, kernel) for kernel in kernels)

    def forward(self, tensor):
        gate_VC = sum(gate(tensor) for gate in self.gates)
        return tensor.with_features(gate_VC * tensor.features_VC)


class ConvNormSigmoid(nn.Module):
    def __init__(self, channels, kernel):
        super().__init__()
        self.conv = SubmanifoldConvolution(channels, channels, kernel)
        self.norm = Norm(channels)

    def forward(self, tensor):
        if not self.training and can_fuse(tensor.sites.backend):
            return torch.sigmoid(self.conv(tensor, Epilogue(None, *self.norm.scale_and_shift())).features_VC)
        return torch.sigmoid(self.norm(self.conv(tensor).features_VC))


def _two_layers(in_channels, out_channels, first, second):
    return nn.Sequential(ConvActNorm(in_channels, out_channels, first), ConvActNorm(out_channels, out_channels, second))
