"""The asymmetric sparse U-Net of Cylinder3D (Zhu et al., CVPR 2021). s is the width: channels of the first level."""

import torch
from torch import nn

from pvd_core.models.blocks import ContextGate, DecoderBlock, EncoderBlock, KernelPlan, TwoBranches
from pvd_core.sparse import SparseTensor
from pvd_core.sparse.interfaces import Triple

# The two deepest levels do not downsample along z.
STRIDES: tuple[Triple, ...] = ((2, 2, 2), (2, 2, 2), (2, 2, 1), (2, 2, 1))


class SparseUNet(nn.Module):
    """SparseTensor with `in_channels` -> SparseTensor with 4s channels on the same sites."""

    def __init__(self, in_channels: int, width: int, kernel_plan: KernelPlan) -> None:
        super().__init__()
        s = width
        encoder_channels = ((s, 2 * s), (2 * s, 4 * s), (4 * s, 8 * s), (8 * s, 16 * s))
        decoder_channels = ((16 * s, 16 * s), (16 * s, 8 * s), (8 * s, 4 * s), (4 * s, 2 * s))
        self.stem = TwoBranches(in_channels, s, kernel_plan.stem)
        self.encoder = nn.ModuleList(
            EncoderBlock(*channels, kernel_plan.encoder, stride)
            for channels, stride in zip(encoder_channels, STRIDES, strict=True)
        )
        self.decoder = nn.ModuleList(
            DecoderBlock(*channels, kernel_plan.decoder, stride)
            for channels, stride in zip(decoder_channels, reversed(STRIDES), strict=True)
        )
        self.context = ContextGate(2 * s, kernel_plan.context)

    def forward(self, tensor: SparseTensor) -> SparseTensor:
        tensor = self.stem(tensor)
        skips = []
        for block in self.encoder:
            tensor, skip = block(tensor)
            skips.append(skip)
        for block, skip in zip(self.decoder, reversed(skips), strict=True):
            tensor = block(tensor, skip)
        context = self.context(tensor)
        return tensor.with_features(torch.cat((context.features_VC, tensor.features_VC), dim=1))

    def stages(self) -> dict[str, nn.Module]:
        """{name: module} in order of execution."""
        levels = len(STRIDES)
        named: dict[str, nn.Module] = {"stem": self.stem}
        named |= {f"encoder {number}": block for number, block in enumerate(self.encoder, start=1)}
        named |= {f"decoder {levels - number}": block for number, block in enumerate(self.decoder)}
        return {**named, "context": self.context}
