"""The statistics of a network's norms, moved towards those of unlabelled scans."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from pvd_core.borders.errors import UserError
from pvd_core.borders.wording import counted
from pvd_core.models.adapted_statistics import estimate_statistics, norms_of
from pvd_core.models.bare_statistics import statistics_of, with_statistics
from pvd_core.models.network import Network

NORMS = ("points", "all")

_LEAST_POINTS = 1000


@dataclass(frozen=True)
class AdaptedNorms:
    """`before` and `after` label the scans; they share all but the statistics. facts: what was done, for the header of
    the weights."""

    before: Network
    after: Network
    facts: dict[str, Any]


@dataclass(frozen=True)
class MeasuredNorms:
    """`before` labels the scans with its own statistics; `found` are those of the scans, by their names in its state.
    facts: from how many scans, and which norms."""

    before: Network
    found: Mapping[str, torch.Tensor]
    facts: dict[str, Any]

    def moved(self, strength: float) -> AdaptedNorms:
        """With statistics that lie between the network's own (`strength` 0) and those of the scans (1)."""
        own = statistics_of(self.before)
        between = {name: torch.lerp(own[name], tensor, strength) for name, tensor in self.found.items()}
        after = with_statistics(self.before, {**own, **between})
        return AdaptedNorms(self.before, after, {**self.facts, "strength": strength})


def measured_norms(
    network: Network, scans: Iterable[torch.Tensor], num_scans: int, which: str = "points", are_bare: bool = False
) -> MeasuredNorms:
    """Statistics of those norms that `which` of NORMS names, over `num_scans` scans as `estimate_statistics` takes
    them. `are_bare`: they have no intensity; then the statistics for such clouds are adapted, and the usual ones stay.
    UserError for too few points to measure anything."""
    before = network
    if are_bare:
        before = with_statistics(network, network.bare_statistics or statistics_of(network))
        before.bare_statistics = None  # it is the network for such clouds itself
    names = norms_of(before, which)
    try:
        found, num_points = estimate_statistics(before, scans, names)
    except ValueError:
        found, num_points = {}, 0
    if num_points < _LEAST_POINTS:
        raise UserError(
            f"{counted(num_scans, 'scan')} with {counted(num_points, 'measured point')} in all: expected at least "
            f"{_LEAST_POINTS}, and better a minute of driving"
        )
    facts = {"method": "norms", "norms": which, "num_norms": len(names), "scans": num_scans, "points": num_points}
    return MeasuredNorms(before, found, {**facts, "without_intensity": are_bare})


def take_statistics(network: Network, adapted: AdaptedNorms) -> None:
    """Puts the adapted statistics into `network`, from which `adapted` was made, where they belong."""
    statistics = statistics_of(adapted.after)
    if adapted.facts["without_intensity"]:
        network.bare_statistics = statistics
        return
    with torch.no_grad():
        for name, tensor in statistics_of(network).items():
            tensor.copy_(statistics[name])
