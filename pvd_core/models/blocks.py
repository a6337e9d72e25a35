"""Blocks of the asymmetric sparse U-Net of Cylinder3D. Kernels and strides are along (rho, phi, z).

The activation comes before the norm: convolution, LeakyReLU(0.01), BatchNorm. So the norm cannot be folded into the
convolution's weights. Instead, backends that support it apply activation and norm before they store the sums.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from pvd_core.models.norm import Norm
from pvd_core.sparse import InverseConvolution, SparseTensor, StridedConvolution, SubmanifoldConvolution
from pvd_core.sparse.epilogue import Epilogue, can_fuse
from pvd_core.sparse.interfaces import Triple

_NEGATIVE_SLOPE = 0.01


@dataclass(frozen=True)
class KernelPlan:
    """The kernel size of each layer of a block.

    `as_written` are the sizes in the published source. `as_trained` are the ones that spconv 1.x really applied when
    the published weights were trained: convolutions with the same `indice_key` reused the first one's kernel map.
    """

    stem: tuple[Triple, Triple]  # first and second layer of branch A; branch B has them swapped
    encoder: tuple[Triple, Triple]
    decoder: tuple[Triple, Triple, Triple]
    context: tuple[Triple, Triple, Triple]


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
    """Submanifold convolution, LeakyReLU, norm."""

    def __init__(self, in_channels: int, out_channels: int, kernel: Triple) -> None:
        super().__init__()
        self.conv = SubmanifoldConvolution(in_channels, out_channels, kernel)
        self.norm = Norm(out_channels)

    def forward(self, tensor: SparseTensor) -> SparseTensor:
        if not self.training and can_fuse(tensor.sites.backend, tensor.features_VC):
            return self.conv(tensor, Epilogue(_NEGATIVE_SLOPE, *self.norm.scale_and_shift()))
        tensor = self.conv(tensor)
        activated_VC = nn.functional.leaky_relu(tensor.features_VC, _NEGATIVE_SLOPE, inplace=not self.training)
        return tensor.with_features(self.norm(activated_VC))


class TwoBranches(nn.Module):
    """Two branches of two layers each, whose kernels come in opposite order; the outputs are added."""

    def __init__(self, in_channels: int, out_channels: int, kernels: tuple[Triple, Triple]) -> None:
        super().__init__()
        first, second = kernels
        self.branch_a = _two_layers(in_channels, out_channels, first, second)
        self.branch_b = _two_layers(in_channels, out_channels, second, first)

    def forward(self, tensor: SparseTensor) -> SparseTensor:
        branch_a, branch_b = self.branch_a(tensor), self.branch_b(tensor)
        return tensor.with_features(branch_a.features_VC + branch_b.features_VC)


class EncoderBlock(TwoBranches):
    """Two branches, then a strided convolution. Returns (downsampled, skip)."""

    def __init__(self, in_channels: int, out_channels: int, kernels: tuple[Triple, Triple], stride: Triple) -> None:
        super().__init__(in_channels, out_channels, kernels)
        self.down = StridedConvolution(out_channels, out_channels, stride)

    # Returns more than TwoBranches, whose layers it shares because checkpoints name them so.
    def forward(self, tensor: SparseTensor) -> tuple[SparseTensor, SparseTensor]:  # type: ignore[override]
        skip = super().forward(tensor)
        return self.down(skip), skip


class DecoderBlock(nn.Module):
    """A layer on the coarse sites, inverse convolution to the skip's sites, sum with the skip, three layers."""

    def __init__(self, in_channels: int, out_channels: int, kernels: Sequence[Triple], stride: Triple) -> None:
        super().__init__()
        self.pre = ConvActNorm(in_channels, out_channels, (3, 3, 3))
        self.up = InverseConvolution(out_channels, out_channels, stride)
        self.post = nn.Sequential(*(ConvActNorm(out_channels, out_channels, kernel) for kernel in kernels))

    def forward(self, tensor: SparseTensor, skip: SparseTensor) -> SparseTensor:
        upsampled = self.up(self.pre(tensor), skip.sites)
        return self.post(skip.with_features(upsampled.features_VC + skip.features_VC))


class ContextGate(nn.Module):
    """Dimension-decomposition based context: the input times the sum of three sigmoid gates, each of a one-dimensional
    convolution."""

    def __init__(self, channels: int, kernels: Sequence[Triple]) -> None:
        super().__init__()
        self.gates = nn.ModuleList(ConvNormSigmoid(channels, kernel) for kernel in kernels)

    def forward(self, tensor: SparseTensor) -> SparseTensor:
        gate_VC = sum(gate(tensor) for gate in self.gates)
        return tensor.with_features(gate_VC * tensor.features_VC)


class ConvNormSigmoid(nn.Module):
    """Submanifold convolution, norm, sigmoid: SparseTensor -> gate (V, C) on its sites."""

    def __init__(self, channels: int, kernel: Triple) -> None:
        super().__init__()
        self.conv = SubmanifoldConvolution(channels, channels, kernel)
        self.norm = Norm(channels)

    def forward(self, tensor: SparseTensor) -> torch.Tensor:
        if not self.training and can_fuse(tensor.sites.backend, tensor.features_VC):
            return torch.sigmoid(self.conv(tensor, Epilogue(None, *self.norm.scale_and_shift())).features_VC)
        return torch.sigmoid(self.norm(self.conv(tensor).features_VC))


def _two_layers(in_channels: int, out_channels: int, first: Triple, second: Triple) -> nn.Sequential:
    return nn.Sequential(ConvActNorm(in_channels, out_channels, first), ConvActNorm(out_channels, out_channels, second))
