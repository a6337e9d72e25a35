"""The statistics of a network's norms, moved towards those of unlabelled scans."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch

from pvd_core.borders.errors import UserError
from pvd_core.borders.wording import counted
from pvd_core.models.adapted_statistics import estimate_statistics, norms_of
from pvd_core.models.bare_statistics import statistics_of, with_statistics
from pvd_core.models.network import Network

NORMS = ("points", "all")

_PRIOR_SCANS = 16
_LEAST_POINTS = 1000


@dataclass(frozen=True)
class AdaptedNorms:
    """`before` and `after` label the scans; they share all but the statistics. facts: what was done, for the header of
    the weights."""

    before: Network
    after: Network
    facts: dict[str, Any]


def usual_strength(num_scans: int) -> float:
    """How far statistics move towards those of `num_scans` scans, 0..1: as if those of the training were of 16, which
    Schneider et al. found best, "Improving robustness against common corruptions by covariate shift adaptation",
    NeurIPS 2020."""
    return num_scans / (num_scans + _PRIOR_SCANS)


def adapted_norms(
    network: Network,
    scans: Iterable[torch.Tensor],
    num_scans: int,
    which: str = "points",
    strength: float | None = None,
    are_bare: bool = False,
) -> AdaptedNorms:
    """`network` with statistics that lie between its own (`strength` 0) and those of the scans (1), as `which` of NORMS
    says; None for `usual_strength`. `scans`: `num_scans` tensors as `estimate_statistics` takes them. `are_bare`: they
    have no intensity; then the statistics for such clouds are adapted, and the usual ones stay. UserError for
    too few points to measure anything."""
    before = network
    if are_bare:
        before = with_statistics(network, network.bare_statistics or statistics_of(network))
    names = norms_of(before, which)
    strength = usual_strength(num_scans) if strength is None else strength
    try:
        found, num_points = estimate_statistics(before, scans, names)
    except ValueError:
        num_points = 0
    if num_points < _LEAST_POINTS:
        raise UserError(
            f"{counted(num_scans, 'scan')} with {counted(num_points, 'measured point')} in all: expected at least "
            f"{_LEAST_POINTS}, and better a minute of driving"
        )
    own = statistics_of(before)
    moved = {name: torch.lerp(own[name], tensor, strength) for name, tensor in found.items()}
    facts = {"method": "norms", "norms": which, "num_norms": len(names), "strength": strength}
    facts |= {"scans": num_scans, "points": num_points, "without_intensity": are_bare}
    return AdaptedNorms(before, with_statistics(before, {**own, **moved}), facts)


def take_statistics(network: Network, adapted: AdaptedNorms) -> None:
    """Puts the adapted statistics into `network`, from which `adapted` was made, where they belong."""
    statistics = statistics_of(adapted.after)
    if adapted.facts["without_intensity"]:
        network.bare_statistics = statistics
        return
    with torch.no_grad():
        for name, tensor in statistics_of(network).items():
            tensor.copy_(statistics[name])
