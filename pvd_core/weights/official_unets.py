"""Names of the layers in official checkpoints of MinkUNet, SPVCNN and SPVNAS (spec 5)."""

from collections.abc import Iterator

from pvd_core.models.unet_plan import UNetPlan

NUM_CLASSES = 19
"""Of the official networks: they have no ignored class."""


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


def _pairs(theirs: str, numbers: tuple[int, ...], ours: str, layers: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for number, layer in zip(numbers, layers, strict=True):
        yield f"{theirs}.{number}", f"{ours}.{layer}"


def _named(theirs: str, ours: str, layer: str) -> Iterator[tuple[str, str]]:
    """A convolution or linear layer with its norm."""
    yield f"{theirs}.net.conv", f"{ours}.{layer}"
    yield f"{theirs}.net.bn", f"{ours}.norm"
