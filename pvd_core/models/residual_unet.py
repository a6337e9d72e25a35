"""The residual U-Net of MinkUNet, SPVCNN and SPVNAS (Choy et al., CVPR 2019; Tang et al., ECCV 2020; spec 5.2)."""

import torch
from torch import nn

from pvd_core.models.network import Concatenation
from pvd_core.models.residual_blocks import HALVES, ConvNorm, ResidualBlock, down_step, stem, up_step
from pvd_core.models.unet_plan import NUM_LEVELS, StagePlan, UNetPlan
from pvd_core.sparse import SparseTensor
from pvd_core.sparse.interfaces import Triple

STRIDES: tuple[Triple, ...] = (HALVES,) * NUM_LEVELS


class Stage(nn.Module):
    """A step to other sites, then blocks, which on the way up get the skip's channels behind the step's."""

    def __init__(self, step: ConvNorm, plan: StagePlan, skip_channels: int = 0) -> None:
        super().__init__()
        self.step = step
        channels, blocks = plan.step + skip_channels, []
        for block in plan.blocks:
            blocks.append(ResidualBlock(channels, block.inner, block.out, block.projects))
            channels = block.out
        self.blocks = nn.Sequential(*blocks)

    def forward(self, tensor: SparseTensor, skip: SparseTensor | None = None) -> SparseTensor:
        """Down without `skip`, up to its sites with it."""
        if skip is None:
            return self.blocks(self.step(tensor))
        upsampled = self.step(tensor, skip.sites)
        return self.blocks(skip.with_features(torch.cat((upsampled.features_VC, skip.features_VC), dim=1)))


class ResidualUNet(nn.Module):
    """Voxel features (V, `num_inputs`) on their sites -> `plan.out` channels on the same sites."""

    def __init__(self, plan: UNetPlan, num_inputs: int) -> None:
        super().__init__()
        self.plan = plan
        self.stem = stem(num_inputs, plan.stem)
        self.down, channels = nn.ModuleList(), plan.stem
        for stage in plan.down:
            self.down.append(Stage(down_step(channels, stage.step), stage))
            channels = stage.out
        self.up = nn.ModuleList()
        for stage, skip_channels in zip(plan.up, plan.skips, strict=True):
            self.up.append(Stage(up_step(channels, stage.step), stage, skip_channels))
            channels = stage.out

    def encode(self, tensor: SparseTensor) -> list[SparseTensor]:
        """What the stem gives, then each stage of the way down."""
        levels = [self.stem(tensor)]
        for stage in self.down:
            levels.append(stage(levels[-1]))
        return levels

    def forward(self, tensor: SparseTensor) -> SparseTensor:
        *skips, tensor = self.encode(tensor)
        for stage, skip in zip(self.up, reversed(skips), strict=True):
            tensor = stage(tensor, skip)
        return tensor

    def concatenations(self, prefix: str) -> tuple[Concatenation, ...]:
        """As Network.concatenations, of a U-Net whose tensors' names start with `prefix`."""
        result = []
        for number, (stage, skip) in enumerate(zip(self.plan.up, self.plan.skips, strict=True)):
            for layer in ("first", "shortcut"):
                if layer == "first" or stage.blocks[0].projects:
                    name = f"{prefix}up.{number}.blocks.0.{layer}.conv.weight"
                    result.append(Concatenation(name, 1, (stage.step, skip)))
        return tuple(result)

    def stages(self) -> dict[str, nn.Module]:
        """{name: module} in order of execution."""
        named: dict[str, nn.Module] = {"stem": self.stem}
        named |= {f"down {number}": stage for number, stage in enumerate(self.down, start=1)}
        return named | {f"up {number}": stage for number, stage in enumerate(self.up, start=1)}
