"""The published `net.config` of an SPVNAS (spec 5): JSON that says how the network was cut out of a larger one."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pvd_core.borders.errors import UserError
from pvd_core.borders.wording import shown
from pvd_core.models.unet_plan import NUM_LEVELS, BlockPlan, StagePlan, UNetPlan, plan_settings
from pvd_core.voxels import CartesianGrid
from pvd_core.weights.official_unets import NUM_CLASSES

# Channels of the larger network's stem; the search leaves them as they are.
_STEM = 32

# Settings of a network that a net.config says.
_SAID = ("name", "architecture", "channel_ratio", "plan")


def with_net_config(model: Mapping[str, Any]) -> Mapping[str, Any]:
    """Settings of a network as `build_model` takes them, from such as may have a `net_config`, the path of a file, in
    place of an architecture. Its voxels are those of the file unless `grid` has others. UserError for a file that does
    not fit, and for settings that it says already."""
    if model.get("net_config") is None:
        return {name: value for name, value in model.items() if name != "net_config"}
    path = model["net_config"]
    if not isinstance(path, str):
        raise UserError(f"model.net_config is {shown(path)}: expected the path of the net.config of an SPVNAS")
    for name in _SAID:
        if model.get(name) is not None:
            raise UserError(
                f"model.{name} is {shown(model[name])}, but model.net_config says what network it is: leave one out "
                f"(model.{name}=null)"
            )
    plan, grid = read_net_config(path)
    others = {name: value for name, value in model.items() if name not in (*_SAID, "net_config")}
    if isinstance(others.setdefault("grid", {}), dict):
        others["grid"] = {"voxel_size": grid.voxel_size, **others["grid"]}
    # SPVNAS is an SPVCNN with a plan of its own.
    return {**others, "architecture": "spvcnn", "plan": plan_settings(plan)}


def read_net_config(path: str | Path) -> tuple[UNetPlan, CartesianGrid]:
    """(channels of the network, its voxels) that the file says. UserError names the file and what does not fit."""
    config = _read_json(path)
    return plan_of_net_config(config, str(path)), grid_of_net_config(config, str(path))


def plan_of_net_config(config: Mapping[str, Any], source: str) -> UNetPlan:
    """The plan in a published `net.config` (its JSON as a dictionary). UserError, which names `source`, for choices
    that are missing or that the network cannot have."""

    def choice(name: str, least: int, most: int) -> int:
        value = config.get(name)
        if type(value) is not int or not least <= value <= most:
            raise UserError(
                f"{source}: {name} is {_found(config, name)}: expected a whole number from {least} to {most}"
            )
        return value

    def width(name: str) -> int:
        value = choice(name, 16, 4096)
        if value % 16:
            raise UserError(f"{source}: {name} is {value}: expected a multiple of 16")
        return value

    if config.get("num_classes") != NUM_CLASSES:
        raise UserError(
            f"{source}: num_classes is {_found(config, 'num_classes')}: expected the {NUM_CLASSES} of SemanticKITTI's "
            "single-scan task"
        )
    outs = _output_channels(config, source)

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


def grid_of_net_config(config: Mapping[str, Any], source: str) -> CartesianGrid:
    """The voxels. UserError where those of the points' branch are others, or a size is none."""
    sizes = [config.get(name) for name in ("pres", "vres")]
    if not all(type(size) in (int, float) for size in sizes) or sizes[0] != sizes[1]:
        found = " and ".join(_found(config, name) for name in ("pres", "vres"))
        raise UserError(
            f"{source}: pres and vres are {found}: expected the same number of metres twice, the size of the voxels"
        )
    try:
        return CartesianGrid.from_settings({"voxel_size": sizes[0]})
    except ValueError as error:
        raise UserError(f"{source}: pres and vres make no grid: {error}") from error


def _output_channels(config: Mapping[str, Any], source: str) -> list[int]:
    """Of the stem and after each stage."""
    outs = config.get("output_channels")
    if not isinstance(outs, list) or len(outs) != 2 * NUM_LEVELS + 1:
        raise UserError(
            f"{source}: output_channels is {_found(config, 'output_channels')}: expected {2 * NUM_LEVELS + 1} channel "
            "counts"
        )
    for number, out in enumerate(outs):
        if type(out) is not int or not 16 <= out <= 4096 or out % 16:
            raise UserError(
                f"{source}: output_channels[{number}] is {shown(out)}: expected a multiple of 16, up to 4096"
            )
    if outs[0] != _STEM:
        raise UserError(
            f"{source}: output_channels[0] is {outs[0]}: expected {_STEM}, those of the stem of every SPVNAS"
        )
    return outs


def _found(config: Mapping[str, Any], name: str) -> str:
    return shown(config[name]) if name in config else "missing"


def _read_json(path: str | Path) -> dict[str, Any]:
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"net.config {path} does not exist") from None
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"net.config {path} cannot be read as JSON: {error}") from error
    if not isinstance(content, dict):
        raise UserError(f"net.config {path} is {type(content).__name__}: expected a JSON object")
    return content
