"""What a network starts from: a weights file of the same network, of a wider or narrower one, or of one that knows
less."""

import dataclasses
from typing import Any

import torch

from pvd_core.borders.errors import UserError
from pvd_core.borders.wording import shown
from pvd_core.models import Network
from pvd_core.models.build import architecture_of, grid_of
from pvd_core.taxonomy import Taxonomy, taxonomy_named
from pvd_core.voxels import Voxeliser, grid_from_settings
from pvd_core.weights import load_model, past_scans_of, read_facts, taxonomy_of
from training.distil.slicing import sliced_state
from training.distil.widening import widened_state
from training.run.config import TrainConfig

_MOVING = "moving-"


def initial_state(path: str, network: Network, config: TrainConfig) -> dict[str, torch.Tensor]:
    """A state_dict for `network` from the weights file `path`; UserError where they are of another family or other
    classes or take a time of points that the run does not give.

    Without a slice a network may learn more than the weights know: the time of points counts nothing at first, and
    classes of moving objects begin as those of still ones. With one or without, means over a voxel's points begin as
    its first point, and their deviations count nothing at first.
    """
    initial, facts = load_model(path)
    _check_family(path, initial, network, config.initial_slice)
    found, wanted = taxonomy_of(facts), taxonomy_named(config.taxonomy)
    initial = _with_features_of(network, initial, found, path)
    may_grow = not (config.initial_slice or config.initial_widen)
    if found != wanted and not (may_grow and wanted.moving and not found.moving):
        raise UserError(
            f"initial_weights {path} are of taxonomy {found.name}, taxonomy is {config.taxonomy}: set taxonomy to "
            f"{found.name}, or start from other weights"
        )
    if initial.grid.time != network.grid.time and not (may_grow and network.grid.time):
        takes = "take the time of points" if initial.grid.time else "take no time of points"
        raise UserError(
            f"initial_weights {path} {takes}, but scans.time is {shown(config.scans.time)}: set it to "
            f"{shown(initial.grid.time)}, or start from other weights"
        )
    if config.initial_widen:
        return widened_state(initial, network, torch.Generator().manual_seed(config.seed))
    return sliced_state(initial, network) if config.initial_slice else _grown(initial, found, network, wanted)


def remarks_on_initial(path: str, config: TrainConfig) -> list[str]:
    """Sentences on what the weights file `path`, from which a run starts, does not know, and on another grid."""
    facts = read_facts(path)
    return [*filter(None, (_growth_remark(path, facts, config), _grid_remark(path, facts, config)))]


def _growth_remark(path: str, facts: dict[str, Any], config: TrainConfig) -> str:
    knows_classes = taxonomy_of(facts).name == config.taxonomy
    begins = [] if knows_classes else ["classes of moving objects begin as those of still ones"]
    if _features_of(grid_of(facts["model"])) != _features_of(grid_of(config.network)):
        begins.append("means over the points of a voxel begin as its first point, deviations count nothing at first")
    if config.scans.time and not past_scans_of(facts).time:
        begins.append("the time of points counts nothing at first")
    return f"initial_weights {path} know less than this run learns: {', '.join(begins)}" if begins else ""


def _grid_remark(path: str, facts: dict[str, Any], config: TrainConfig) -> str:
    found, wanted = (grid_of(model) for model in (facts["model"], config.network))
    # What is taken of points and voxels is said besides.
    said = {"time": None, "features": None}
    if {**found.settings(), **said} == {**wanted.settings(), **said}:
        return ""
    return f"warning: initial_weights {path} learned on grid {in_words(found)}, this run has {in_words(wanted)}"


def in_words(grid: Voxeliser) -> str:
    """Its settings, such as "kind cartesian, voxel_size 0.05"."""
    return ", ".join(f"{name} {value}" for name, value in grid.settings().items())


def _check_family(path: str, initial: Network, network: Network, is_sliced: bool) -> None:
    """UserError where the network cannot start from one of this family."""
    # An SPVCNN has all that a MinkUNet has: a slice of it leaves out the rest.
    has_all = network.state_dict().keys() <= initial.state_dict().keys()
    if type(initial) is type(network) or (is_sliced and has_all):
        return
    found, wanted = architecture_of(initial), architecture_of(network)
    remedy = f", or set initial_slice=true: a {found} has all parts of a {wanted}" if has_all else ""
    raise UserError(
        f"initial_weights {path} are weights of a {found}, the network is a {wanted}: take weights of a {wanted}"
        f"{remedy}"
    )


def _features_of(grid: Voxeliser) -> str:
    """What networks get of a voxel, where grids differ in that."""
    return getattr(grid, "features", "")


def _with_features_of(network: Network, initial: Network, classes: Taxonomy, path: str) -> Network:
    """`initial`, or a network that gives the same for voxels of one point and gets of voxels what `network` does."""
    learned, wanted = _features_of(initial.grid), _features_of(network.grid)
    if learned == wanted:
        return initial
    if (learned, wanted) != ("first", "moments") or initial.grid.time:
        raise UserError(
            f"initial_weights {path} learned with grid.features {learned}, this run has {wanted}: set model to null "
            "for the network of these weights, or start from other weights"
        )
    grid = grid_from_settings({**initial.grid.settings(), "features": wanted})
    grown = type(initial)(dataclasses.replace(initial.config, grid=grid))
    grown.load_state_dict(_grown(initial, classes, grown, classes))
    return grown


def _grown(initial: Network, found: Taxonomy, network: Network, wanted: Taxonomy) -> dict[str, torch.Tensor]:
    """The state of `initial`, with more inputs and classes where `network` is the same but for these."""
    state = initial.state_dict()
    knows_more = {"grid": network.grid, "num_classes": wanted.num_classes}
    if dataclasses.replace(initial.config, **knows_more) != network.config:
        return state  # which may not fit: whoever loads it says so
    known_C = torch.tensor([found.names.index(name.removeprefix(_MOVING)) for name in wanted.names])
    for name, fresh in network.state_dict().items():
        for axis, size in enumerate(fresh.shape):
            missing = size - state[name].shape[axis]
            if missing and size == wanted.num_classes:
                state[name] = state[name].index_select(axis, known_C)
            elif missing:  # the last inputs: norms as they begin, else zeros, so that outputs stay
                more = fresh.narrow(axis, size - missing, missing)
                state[name] = torch.cat((state[name], more if fresh.dim() == 1 else torch.zeros_like(more)), axis)
    return state
