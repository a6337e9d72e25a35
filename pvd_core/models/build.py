"""Builds a network from its name and settings: the architectures, and presets of named sizes."""

import dataclasses
import difflib
from collections.abc import Mapping
from typing import Any, TypeVar

import torch

from pvd_core.borders.errors import UserError
from pvd_core.borders.wording import shown
from pvd_core.models.cartesian_config import CartesianConfig
from pvd_core.models.cylinder3d import Cylinder3D, Cylinder3DConfig
from pvd_core.models.minkunet import MinkUNet
from pvd_core.models.network import Network
from pvd_core.models.spvcnn import SPVCNN
from pvd_core.voxels import Voxeliser, grid_from_settings

_Value = TypeVar("_Value")

# A small network for CPUs: a coarser grid and a narrow point branch. At full size that costs as much as the U-Net.
_COMPACT = {
    "width": 8,
    "num_point_features": 32,
    "point_mlp_widths": (32, 32),
    "refinement_widths": (64, 32),
}

PRESETS: dict[str, dict[str, Any]] = {
    "cylinder3d-1x": {"architecture": "cylinder3d", "width": 32},
    "cylinder3d-0.5x": {"architecture": "cylinder3d", "width": 16},
    "cylinder3d-0.25x": {"architecture": "cylinder3d", "width": 8},
    "cylinder3d-compact": {"architecture": "cylinder3d", **_COMPACT, "grid": {"shape": (240, 180, 32)}},
    **{
        f"{family}-{name}": {"architecture": family, "channel_ratio": ratio}
        for family in ("minkunet", "spvcnn")
        for name, ratio in (("1x", 1.0), ("0.64x", 0.64), ("0.5x", 0.5), ("0.25x", 0.25))
    },
}

# SPVNAS is an SPVCNN with a plan of its own.
ARCHITECTURES: dict[str, tuple[type[Network], Any]] = {
    "cylinder3d": (Cylinder3D, Cylinder3DConfig),
    "minkunet": (MinkUNet, CartesianConfig),
    "spvcnn": (SPVCNN, CartesianConfig),
}


def build_model(config: str | Mapping[str, Any]) -> Network:
    """A network with random weights. `config`: the name of a preset, or a dictionary with `name` (a preset) or
    `architecture`, and any fields of that architecture's config, which override those of the preset. Unknown names and
    fields, and values that do not fit, raise UserError."""
    model_class, model_config = _checked(config)
    return model_class(model_config)


def check_model_settings(config: str | Mapping[str, Any]) -> str:
    """The name of the architecture. UserError where `build_model` would raise it; builds nothing."""
    return _name_of(_checked(config)[0])


def build_shapes(config: str | Mapping[str, Any]) -> Network:
    """What `build_model` returns, but its tensors have shapes and types only and take no memory."""
    model_class, model_config = _checked(config)
    with torch.device("meta"):
        return model_class(model_config)


def grid_of(config: str | Mapping[str, Any]) -> Voxeliser:
    """The grid of the network that `build_model` would build. UserError where it would raise it."""
    return _checked(config)[1].grid


def setting_names(architecture: str) -> list[str]:
    """The settings of a network of this architecture. UserError if there is none of this name."""
    return [field.name for field in dataclasses.fields(_look_up(ARCHITECTURES, architecture, "architecture")[1])]


def model_facts(model: Network) -> dict[str, Any]:
    """The settings from which `build_model` builds the same network, JSON-serialisable."""
    return {
        "architecture": architecture_of(model),
        **dataclasses.asdict(model.config),
        "grid": model.grid.settings(),
    }


def architecture_of(model: Network) -> str:
    """Its name, a key of ARCHITECTURES."""
    return _name_of(type(model))


def _name_of(model_class: type[Network]) -> str:
    return next(name for name, (known, _) in ARCHITECTURES.items() if issubclass(model_class, known))


def _checked(config: str | Mapping[str, Any]) -> tuple[Any, Any]:
    settings: dict[str, Any] = {"name": config} if isinstance(config, str) else dict(config)
    name = settings.pop("name", None)
    if name is not None:
        preset = _look_up(PRESETS, name, "model")
        architecture = settings.get("architecture", preset["architecture"])
        _look_up(ARCHITECTURES, architecture, "architecture")
        if architecture != preset["architecture"]:
            raise UserError(
                f"model.name {shown(name)} is a {preset['architecture']}, model.architecture says "
                f"{shown(architecture)}: leave one out (model.name=null)"
            )
        if settings.get("plan") is not None:
            raise UserError(
                f"model.name {shown(name)} has channels of its own, model.plan names others: leave one out "
                "(model.name=null with a model.architecture)"
            )
        settings = {**preset, **settings}
    model_class, config_class = _look_up(ARCHITECTURES, settings.pop("architecture", "cylinder3d"), "architecture")
    fields = {field.name: field for field in dataclasses.fields(config_class)}
    for key in settings:
        _look_up(fields, key, "model setting")
    try:
        if "grid" in settings:
            settings["grid"] = _grid(settings["grid"], config_class().grid)
        return model_class, config_class(**settings)
    except (TypeError, ValueError) as error:
        raise UserError(f"model settings: {error}") from error


def _grid(settings: object, default: Voxeliser) -> Voxeliser:
    """The grid of these settings, of the kind of `default`, the family's own; ValueError for anything else."""
    kind = default.settings()["kind"]
    if not isinstance(settings, Mapping):
        expected = f"settings of a {kind} grid such as {shown(default.settings())}"
        raise ValueError(f"grid is {shown(settings)}: expected {expected}")
    grid = grid_from_settings({"kind": kind, **settings})
    if type(grid) is not type(default):
        raise ValueError(f"grid kind is {shown(settings['kind'])}: networks of this family take a {kind} grid")
    return grid


def _look_up(choices: Mapping[str, _Value], key: object, what: str) -> _Value:
    if isinstance(key, str) and key in choices:
        return choices[key]
    if shown(key).lower().startswith("'spvnas"):
        raise UserError(
            f"unknown {what} {shown(key)}: an SPVNAS is made from its net.config, which training takes as "
            "model.net_config=FILE in place of model.name and model.architecture (null where they are set), `pvd "
            "convert` as --net-config FILE"
        )
    close = difflib.get_close_matches(shown(key), choices, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else "."
    raise UserError(f"unknown {what} {shown(key)}{hint} Known: {', '.join(choices)}")
