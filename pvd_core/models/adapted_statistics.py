"""Running statistics of a network's norms, measured anew on scans of another sensor or another place, without labels.

Norms divide by means and variances that were measured in training. Where the scans to label differ from those of the
training, so do these, and the layers behind get values that they never saw.
"""

import copy
import math
from collections.abc import Iterable, Sequence
from typing import cast

import torch
from torch import nn

from pvd_core.borders.errors import naming_scan
from pvd_core.models.network import Network
from pvd_core.models.norm import Norm


def norms_of(model: Network, which: str) -> list[str]:
    """Names of the norms that `which` stands for, in the order of the modules: "points" are those of the point branch,
    or all where the family has no such branch; "all" are all."""
    names = [name for name, module in model.named_modules() if isinstance(module, Norm)]
    if which == "all" or not model.point_branch:
        return names
    return [name for name in names if name.startswith(tuple(f"{module}." for module in model.point_branch))]


def estimate_statistics(
    model: Network, scans: Iterable[torch.Tensor], names: Sequence[str]
) -> tuple[dict[str, torch.Tensor], int]:
    """({name, as in the state of `model`: mean or variance (C,)} of the norms `names`, number of points).

    `scans`: float32 (P, 4) of measured points, as the network gets them. Means and variances are those over the rows of
    all scans together; the same bits in whatever order they come. While a scan passes, the norms `names` use its own
    statistics and all others their running ones. On the model's device; `model` stays as it is. ValueError if the rows
    of all scans are fewer than two.
    """
    network = copy.deepcopy(model, {id(model.backend): model.backend}).eval().requires_grad_(False)
    norms = {name: cast(Norm, network.get_submodule(name)) for name in names}
    sums = {name: _Sums() for name in names}
    for name, norm in norms.items():
        norm.register_forward_pre_hook(sums[name].add)
        norm.register_forward_hook(_by_own_statistics)
    num_points = 0
    # Labelling folds norms into the layers beside them, with their running statistics. With gradients enabled nothing
    # is folded; as no parameter asks for any, none are computed.
    with torch.enable_grad():
        for number, points_P4 in enumerate(scans, start=1):
            with naming_scan(f"scan {number}"):
                network(network.grid.voxelise([points_P4]))
            num_points += len(points_P4)
    found: dict[str, torch.Tensor] = {}
    for name, norm in norms.items():
        found |= sums[name].statistics(name, norm)
    return found, num_points


def _by_own_statistics(norm: Norm, inputs: tuple[torch.Tensor], output: torch.Tensor) -> torch.Tensor | None:
    # Not by putting the norm into training: where several processes train, it would wait for the rows of the others.
    (rows_NC,) = inputs
    if len(rows_NC) < 2:
        return None  # a single row passes by the running statistics, as in training
    return nn.functional.batch_norm(rows_NC, None, None, norm.weight, norm.bias, training=True, eps=norm.eps)


class _Sums:
    """What a norm got: for each scan the number of rows and, for each channel, sum and sum of squares in fp64."""

    def __init__(self) -> None:
        self._counts: list[int] = []
        self._of_scans: list[list[list[float]]] = []

    def add(self, norm: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        rows_NC = inputs[0].detach().double()
        self._counts.append(len(rows_NC))
        self._of_scans.append([rows_NC.sum(0).tolist(), rows_NC.square().sum(0).tolist()])

    def statistics(self, name: str, norm: Norm) -> dict[str, torch.Tensor]:
        count = sum(self._counts)
        if count < 2:
            raise ValueError(f"{name} got {count} rows: a variance needs two")
        # fsum rounds once, whatever the order of the scans.
        sums, squares = (
            torch.tensor([math.fsum(channel) for channel in zip(*scans, strict=True)], dtype=torch.float64)
            for scans in zip(*self._of_scans, strict=True)
        )
        mean = sums / count
        variance = (squares / count - mean.square()).clamp(min=0) * (count / (count - 1))
        like = norm.running_mean
        return {f"{name}.running_mean": mean.to(like), f"{name}.running_var": variance.to(like)}
