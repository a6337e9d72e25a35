"""What a network starts from: a weights file of the same network, of a wider one, or of one that knows less."""

import dataclasses

import torch

from pvd_core.borders.errors import UserError
from pvd_core.models import Network
from pvd_core.taxonomy import Taxonomy, taxonomy_named
from pvd_core.weights import load_model, past_scans_of, read_facts, taxonomy_of
from training.distil.slicing import sliced_state
from training.run.config import TrainConfig

_MOVING = "moving-"


def initial_state(path: str, network: Network, config: TrainConfig) -> dict[str, torch.Tensor]:
    """A state_dict for `network` from the weights file `path`; UserError where they are of other classes or take a time
    of points that the run does not give.

    Without a slice a network may learn more than the weights know: the time of points counts nothing at first, and
    classes of moving objects begin as those of still ones.
    """
    initial, facts = load_model(path)
    found, wanted = taxonomy_of(facts), taxonomy_named(config.taxonomy)
    may_grow = not config.initial_slice
    if found != wanted and not (may_grow and wanted.moving and not found.moving):
        raise UserError(
            f"initial_weights {path} are of taxonomy {found.name}, taxonomy is {config.taxonomy}: set taxonomy to "
            f"{found.name}, or start from other weights"
        )
    if initial.grid.time != network.grid.time and not (may_grow and network.grid.time):
        takes = "take the time of points" if initial.grid.time else "of which to start a slice take no time of points"
        raise UserError(
            f"initial_weights {path} {takes}, but scans.time is {config.scans.time}: set it to {initial.grid.time}, or "
            "start from other weights"
        )
    return sliced_state(initial, network) if config.initial_slice else _grown(initial, found, network, wanted)


def growth_remark(path: str, config: TrainConfig) -> str:
    """A sentence on what the weights file `path`, from which a run starts, does not know; "" if it knows all."""
    facts = read_facts(path)
    knows_classes = taxonomy_of(facts).name == config.taxonomy
    begins = [] if knows_classes else ["classes of moving objects begin as those of still ones"]
    if config.scans.time and not past_scans_of(facts).time:
        begins.append("the time of points counts nothing at first")
    return f"initial_weights {path} know less than this run learns: {', '.join(begins)}" if begins else ""


def _grown(initial: Network, found: Taxonomy, network: Network, wanted: Taxonomy) -> dict[str, torch.Tensor]:
    """The state of `initial`, with more inputs and classes where `network` is the same but for these."""
    state = initial.state_dict()
    if type(initial) is not type(network):
        return state  # which does not fit: whoever loads it says so
    knows_more = {"grid": network.grid, "num_classes": wanted.num_classes}
    if dataclasses.replace(initial.config, **knows_more) != network.config:
        return state
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
