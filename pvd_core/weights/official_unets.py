"""What official checkpoints of MinkUNet, SPVCNN and SPVNAS hold (spec 5): names of layers, and the channels in a
published `net.config`.

SPVNAS is a network that was cut out of a larger one; its `net.config` says how.
"""

from collections.abc import Iterator, Mapping
from typing import Any, cast

from pvd_core.borders.errors import UserError
from pvd_core.borders.wording import shown
from pvd_core.models.unet_plan import NUM_LEVELS, BlockPlan, StagePlan, UNetPlan

NUM_CLASSES = 19
"""Of the official networks: they have no ignored class."""

# Channels of the larger network's stem; the search leaves them as they are.
_STEM = 32


def layer_names(plan: UNetPlan) -> Iterator[tuple[str, str]]:
    """(official name, ours) of each layer of MinkUNet and SPVCNN. SPVCNN has all of them; MinkUNet has those of
    `point_transforms` as well, but does not use them."""
    yield from _pairs("stem", (0, 1, 3, 4), "backbone.stem", ("0.conv", "0.norm", "1.conv", "1.norm"))
    for way, stages, official in (("down", plan.down, "stage"), ("up", plan.up, "up")):
        for number, stage in enumerate(stages):
            theirs, ours = f"{official}{number + 1}", f"backbone.{way}.{number}"
            yield from _pairs(f"{theirs}.0.net", (0, 1), f"{ours}.step", ("conv", "norm"))
            for index, block in enumerate(stage.blocks):
                place = f"{theirs}.{index + 1}" if way == "down" else f"{theirs}.1.{index}"
                layers = ("first.conv", "first.norm", "second.conv", "second.norm")
                yield from _pairs(f"{place}.net", (0, 1, 3, 4), f"{ours}.blocks.{index}", layers)
                if block.projects:
                    yield from _pairs(
                        f"{place}.downsample", (0, 1), f"{ours}.blocks.{index}.shortcut", ("conv", "norm")
                    )
    for step in range(3):
        yield from _pairs(f"point_transforms.{step}", (0, 1), f"branch.{step}", ("linear", "norm"))
    yield "classifier.0", "classifier"


def searched_layer_names(plan: UNetPlan) -> Iterator[tuple[str, str]]:
    """(official name, ours) of each layer of SPVNAS."""
    yield from _pairs("stem", (0, 1, 3, 4), "backbone.stem", ("0.conv", "0.norm", "1.conv", "1.norm"))
    for way, stages in (("down", plan.down), ("up", plan.up)):
        for number, stage in enumerate(stages):
            theirs, ours = f"{way}sample.{number}", f"backbone.{way}.{number}"
            yield from _named(f"{theirs}.transition", f"{ours}.step", "conv")
            for index, block in enumerate(stage.blocks):
                place, block_name = f"{theirs}.feature.{index}", f"{ours}.blocks.{index}"
                yield from _named(f"{place}.net.0", f"{block_name}.first", "conv")
                yield from _named(f"{place}.net.1", f"{block_name}.second", "conv")
                if block.projects:
                    yield from _named(f"{place}.downsample", f"{block_name}.shortcut", "conv")
    for step in range(3):
        yield from _named(f"point_transforms.{step}", f"branch.{step}", "linear")
    yield "classifier.linear", "classifier"


def plan_of_net_config(config: Mapping[str, Any], source: str) -> UNetPlan:
    """The plan in a published `net.config` (its JSON as a dictionary). UserError, which names `source`, for choices
    that are missing or that the network cannot have."""

    def choice(name: str, least: int, most: int) -> int:
        value = config.get(name)
        if type(value) is not int or not least <= value <= most:
            found = shown(value) if name in config else "missing"
            raise UserError(f"{source}: {name} is {found}: expected a whole number from {least} to {most}")
        return value

    def width(name: str) -> int:
        value = choice(name, 16, 4096)
        if value % 16:
            raise UserError(f"{source}: {name} is {value}: expected a multiple of 16")
        return value

    _check_task(config, source)
    outs = config.get("output_channels")
    if not isinstance(outs, list) or len(outs) != 2 * NUM_LEVELS + 1:
        raise UserError(f"{source}: output_channels is {shown(outs)}: expected {2 * NUM_LEVELS + 1} channel counts")
    for number, out in enumerate(outs):
        if type(out) is not int or not 16 <= out <= 4096 or out % 16:
            raise UserError(
                f"{source}: output_channels[{number}] is {shown(out)}: expected a multiple of 16, up to 4096"
            )

    def stage(way: str, number: int) -> StagePlan:
        place, out = f"{way}sample.{number}", outs[1 + number + (NUM_LEVELS if way == "up" else 0)]
        depth = choice(f"{place}.feature", 1, 2)
        # The first block changes the number of channels in the larger network, so it projects; others never do.
        blocks = (
            BlockPlan(width(f"{place}.feature.layers.{index}.net.layers.0"), out, projects=index == 0)
            for index in range(depth)
        )
        return StagePlan(width(f"{place}.transition"), tuple(blocks))

    down, up = (tuple(stage(way, number) for number in range(NUM_LEVELS)) for way in ("down", "up"))
    return UNetPlan(_STEM, down, up)


def voxel_size_of(config: Mapping[str, Any], source: str) -> float:
    """Of the voxels in metres. UserError where that of the points' branch is another, or either is none."""
    sizes = [config.get(name) for name in ("pres", "vres")]
    if not all(type(size) in (int, float) for size in sizes) or sizes[0] != sizes[1]:
        raise UserError(
            f"{source}: pres and vres are {shown(sizes[0])} and {shown(sizes[1])}: expected the same number of metres "
            "twice, the size of the voxels"
        )
    return float(cast(float, sizes[0]))


def _check_task(config: Mapping[str, Any], source: str) -> None:
    if config.get("num_classes") != NUM_CLASSES:
        raise UserError(
            f"{source}: num_classes is {shown(config.get('num_classes'))}: expected the {NUM_CLASSES} of "
            "SemanticKITTI's single-scan task"
        )


def _pairs(theirs: str, numbers: tuple[int, ...], ours: str, layers: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for number, layer in zip(numbers, layers, strict=True):
        yield f"{theirs}.{number}", f"{ours}.{layer}"


def _named(theirs: str, ours: str, layer: str) -> Iterator[tuple[str, str]]:
    """A convolution or linear layer with its norm."""
    yield f"{theirs}.net.conv", f"{ours}.{layer}"
    yield f"{theirs}.net.bn", f"{ours}.norm"
