"""The channels of a residual U-Net of four steps down and four up, as in MinkUNet, SPVCNN and SPVNAS (spec 5)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pvd_core.borders.wording import shown
from pvd_core.models.channels import check_channels
from pvd_core.voxels.settings import is_number

NUM_LEVELS = 4
"""Steps down, and up again."""

_MOST_BLOCKS = 8
# Of the stem and after each stage at channel ratio 1.
_FULL = (32, 32, 64, 128, 256, 256, 128, 96, 96)


@dataclass(frozen=True)
class BlockPlan:
    """A residual block: channels between its two convolutions and after them. `projects`: its input goes through a
    convolution of its own before it is added."""

    inner: int
    out: int
    projects: bool


@dataclass(frozen=True)
class StagePlan:
    """A step to other sites with this many channels, then blocks."""

    step: int
    blocks: tuple[BlockPlan, ...]

    @property
    def out(self) -> int:
        return self.blocks[-1].out


@dataclass(frozen=True)
class UNetPlan:
    """Stages of the way down, finest first, and of the way up, coarsest first. Stage n of the way up gets the outputs
    of the same resolution from the way down beside its own."""

    stem: int
    down: tuple[StagePlan, ...]
    up: tuple[StagePlan, ...]

    @property
    def skips(self) -> tuple[int, ...]:
        """Channels that join each stage of the way up."""
        return (*(stage.out for stage in reversed(self.down[:-1])), self.stem)

    @property
    def out(self) -> int:
        """Channels of its output."""
        return self.up[-1].out

    @property
    def point_channels(self) -> tuple[int, int, int, int]:
        """Channels at the four places where a point branch joins: after the stem, the way down, two steps up, the
        end."""
        return self.stem, self.down[-1].out, self.up[1].out, self.up[3].out


def ratio_plan(channel_ratio: float) -> UNetPlan:
    """The plan of MinkUNet and SPVCNN: every count of channels is that of ratio 1 times `channel_ratio`, rounded down.
    ValueError where that leaves none, or thousands."""
    if not is_number(channel_ratio) or not 1 / 32 <= channel_ratio <= 16:
        raise ValueError(f"channel_ratio is {shown(channel_ratio)}: expected a number from 1/32 to 16")
    stem, *outs = (int(channel_ratio * full) for full in _FULL)
    stages, channels = [], stem
    for number, out in enumerate(outs):
        is_up = number >= NUM_LEVELS
        step = out if is_up else channels
        joined = [*reversed(outs[: NUM_LEVELS - 1]), stem][number - NUM_LEVELS] if is_up else 0
        first = BlockPlan(out, out, projects=step + joined != out)
        stages.append(StagePlan(step, (first, BlockPlan(out, out, projects=False))))
        channels = out
    return UNetPlan(stem, tuple(stages[:NUM_LEVELS]), tuple(stages[NUM_LEVELS:]))


def plan_from_settings(settings: Mapping[str, Any]) -> UNetPlan:
    """The plan in a dictionary as `plan_settings` makes it. ValueError names what does not fit."""
    if not isinstance(settings, Mapping) or settings.keys() != {"stem", "down", "up"}:
        raise ValueError(f"plan is {shown(settings)}: expected a section with stem, down and up")
    down, up = (tuple(_stages(settings[name], name)) for name in ("down", "up"))
    plan = UNetPlan(_channels(settings["stem"], "plan.stem"), down, up)
    _check_additions(plan)
    return plan


def plan_settings(plan: UNetPlan) -> dict[str, Any]:
    """The plan as dictionaries and lists for YAML and headers."""
    return {
        "stem": plan.stem,
        **{
            name: [
                {"step": stage.step, "blocks": [[block.inner, block.out, block.projects] for block in stage.blocks]}
                for stage in stages
            ]
            for name, stages in (("down", plan.down), ("up", plan.up))
        },
    }


def _stages(values: object, name: str) -> Iterator[StagePlan]:
    if not isinstance(values, Sequence) or len(values) != NUM_LEVELS:
        raise ValueError(f"plan.{name} is {shown(values)}: expected {NUM_LEVELS} stages")
    for number, value in enumerate(values):
        place = f"plan.{name}[{number}]"
        if not isinstance(value, Mapping) or value.keys() != {"step", "blocks"}:
            raise ValueError(f"{place} is {shown(value)}: expected a section with step and blocks")
        blocks = value["blocks"]
        if not isinstance(blocks, Sequence) or not 1 <= len(blocks) <= _MOST_BLOCKS:
            raise ValueError(f"{place}.blocks is {shown(blocks)}: expected 1 to {_MOST_BLOCKS} blocks")
        yield StagePlan(_channels(value["step"], f"{place}.step"), tuple(_block(each, place) for each in blocks))


def _block(value: object, place: str) -> BlockPlan:
    if not isinstance(value, Sequence) or len(value) != 3 or type(value[2]) is not bool:
        raise ValueError(f"a block of {place} is {shown(value)}: expected [inner channels, channels, true or false]")
    inner, out = (_channels(channels, f"a block of {place}") for channels in value[:2])
    return BlockPlan(inner, out, projects=value[2])


def _channels(value: Any, place: str) -> int:
    check_channels(place, value)
    return value


def _check_additions(plan: UNetPlan) -> None:
    """ValueError where a block would add tensors of different channels."""
    entering = [stage.step for stage in plan.down]
    entering += [stage.step + skip for stage, skip in zip(plan.up, plan.skips, strict=True)]
    for channels, stage in zip(entering, (*plan.down, *plan.up), strict=True):
        for block in stage.blocks:
            if not block.projects and channels != block.out:
                raise ValueError(
                    f"plan: a block without projection gets {channels} channels and gives {block.out}: expected the "
                    "same number"
                )
            channels = block.out
