"""Running statistics of a network's norms for bare clouds, which are those without intensity.

Where every point has the same intensity, the values inside the network lie elsewhere than in training. With the usual
statistics its labels are then worth nothing; with statistics of such clouds they are nearly as good as with intensity.
"""

import copy
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn

from pvd_core.borders.errors import naming_scan
from pvd_core.models.network import Network
from pvd_core.models.norm import Norm

_STATISTICS = ("running_mean", "running_var")


def statistics_of(model: nn.Module) -> dict[str, torch.Tensor]:
    """{name, as in the state of `model`: mean or variance (C,)} of its norms; the tensors themselves, no copies."""
    return {
        f"{name}.{statistic}": getattr(module, statistic)
        for name, module in model.named_modules()
        if isinstance(module, Norm)
        for statistic in _STATISTICS
    }


def with_statistics(model: Network, statistics: Mapping[str, torch.Tensor]) -> Network:
    """A network in evaluation mode with these statistics, as `statistics_of` names them, that shares the parameters
    and the backend of `model`."""
    # deepcopy takes what it finds here instead of copying it.
    shared: dict[int, Any] = {id(parameter): parameter for parameter in model.parameters()}
    result = copy.deepcopy(model, {**shared, id(model.backend): model.backend}).eval()
    with torch.no_grad():
        for name, tensor in statistics_of(result).items():
            tensor.copy_(statistics[name])
    return result


def estimate_bare_statistics(model: Network, scans: Iterable[torch.Tensor]) -> dict[str, torch.Tensor]:
    """Statistics over `scans`, float32 (P, 4) of measured points, each without its intensities: means over the scans of
    each scan's mean and variance, as a running mean in training tends to. On the model's device; `model` stays as it
    is."""
    network = with_statistics(model, statistics_of(model)).train()
    for module in network.modules():
        if isinstance(module, Norm):
            module.reset_running_stats()
            module.momentum = None  # type: ignore[assignment]  # torch: the mean of all batches
    # With gradients, as only then nothing is computed from the statistics of before.
    with torch.enable_grad():
        for number, points_P4 in enumerate(scans, start=1):
            bare_P4 = points_P4.clone()
            bare_P4[:, 3] = 0
            with naming_scan(f"scan {number}"):
                network(network.grid.voxelise([bare_P4]))
    return {name: tensor.detach() for name, tensor in statistics_of(network).items()}
