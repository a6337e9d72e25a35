"""A cloud as the network gets it, and the multiply-accumulates of the network on it (spec 7.1).

A sparse layer costs (pairs of its kernel map) x C_in x C_out, a linear layer rows x C_in x C_out. Norms, activations
and reductions are not counted.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import nn

from pvd_core.clouds.measured import is_measured, measured_points
from pvd_core.models import Cylinder3D
from pvd_core.segmenter import Segmenter
from pvd_core.sparse import InverseConvolution, SparseConvolution, StridedConvolution, SubmanifoldConvolution
from pvd_core.sparse.backends import reference
from pvd_core.voxels import VoxelBatch

# What `network_ms` times: the sparse U-Net and the layer that gives its logits.
NETWORK = ("backbone", "head.conv")


@dataclass(frozen=True)
class LayerCost:
    name: str
    rows: tuple[int, ...]  # of each matrix product: the pairs of each tap, or the rows of a linear layer
    in_channels: int
    out_channels: int

    @property
    def macs(self) -> int:
        return sum(self.rows) * self.in_channels * self.out_channels


class ScanInput:
    """A cloud voxelised for a Segmenter, on the Segmenter's device."""

    def __init__(self, segmenter: Segmenter, points: np.ndarray) -> None:
        """`points` float32 (N, 4): x, y, z in metres, intensity in 0..1; there may be none."""
        self.num_points = len(points)
        self.scan = torch.from_numpy(measured_points(points, is_measured(points))).to(segmenter.device)
        self.batch = segmenter.model.grid.voxelise([self.scan])
        self._model = segmenter.model

    @property
    def num_voxels(self) -> int:
        return self.batch.num_voxels

    @property
    def is_empty(self) -> bool:
        return self.num_voxels == 0

    @cached_property
    def costs(self) -> list[LayerCost]:
        """Of every layer, in order of execution; the same whichever backend is timed."""
        if self.is_empty:
            return []
        backend, self._model.backend = self._model.backend, reference
        try:
            return layer_costs(self._model, self.batch)
        finally:
            self._model.backend = backend

    @property
    def sparse_costs(self) -> list[LayerCost]:
        """Of the sparse layers alone."""
        sparse = {name for name, module in self._model.named_modules() if isinstance(module, SparseConvolution)}
        return [cost for cost in self.costs if cost.name in sparse]

    @property
    def macs(self) -> int:
        """Multiply-accumulates of all layers."""
        return sum(cost.macs for cost in self.costs)


def layer_costs(model: Cylinder3D, batch: VoxelBatch) -> list[LayerCost]:
    """The cost of each layer of `model` on `batch`, in order of execution."""
    # With gradients on, the point layers run one by one and are seen by the hooks; otherwise they are fused.
    with torch.enable_grad(), _recorded(model) as costs:
        model(batch, with_points=model.predicts_from_points)
    return costs


def timed_network(model: Cylinder3D) -> dict[str, nn.Module]:
    """{name: module} whose calls together are the network of `network_ms`."""
    return {name: model.get_submodule(name) for name in NETWORK}


@contextmanager
def _recorded(model: Cylinder3D) -> Iterator[list[LayerCost]]:
    costs: list[LayerCost] = []
    handles = []

    def record(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: tuple[Any, ...], _output: object) -> None:
            if isinstance(module, SubmanifoldConvolution | StridedConvolution | InverseConvolution):
                _num_taps, in_channels, out_channels = module.weight.shape
                costs.append(LayerCost(name, module.kernel_map(*inputs).num_pairs_K, in_channels, out_channels))
            elif isinstance(module, nn.Linear):
                costs.append(LayerCost(name, (inputs[0].shape[0],), module.in_features, module.out_features))

        return hook

    for name, module in model.named_modules():
        if isinstance(module, SparseConvolution | nn.Linear):
            handles.append(module.register_forward_hook(record(name)))
    try:
        yield costs
    finally:
        for handle in handles:
            handle.remove()
