"""The multiply-accumulates of a network (spec 7.1).

A sparse layer costs (pairs of its kernel map) x C_in x C_out, a linear layer rows x C_in x C_out. Norms, activations,
interpolation and reductions are not counted.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from pvd_core.models.network import Network
from pvd_core.native import library
from pvd_core.sparse import InverseConvolution, Sites, SparseConvolution, StridedConvolution, SubmanifoldConvolution
from pvd_core.sparse.backends import load_backend, reference
from pvd_core.sparse.interfaces import AnyMap
from pvd_core.voxels import VoxelBatch


@dataclass(frozen=True)
class LayerCost:
    name: str
    rows: tuple[int, ...]  # of each matrix product: the pairs of each tap, or the rows of a linear layer
    in_channels: int
    out_channels: int

    @property
    def macs(self) -> int:
        return sum(self.rows) * self.in_channels * self.out_channels


def countable_sites(batch: VoxelBatch) -> Sites:
    """The sites of a batch for `layer_costs`. Networks on the same voxels may share them."""
    return Sites(batch.coords_V4, batch.shape, batch.batch_size, _WithoutProducts())


def layer_costs(model: Network, batch: VoxelBatch, sites: Sites | None = None) -> list[LayerCost]:
    """The cost of each layer of `model` on `batch`, in order of execution; the same whichever backend it has. `sites`:
    what `countable_sites` gave for the batch."""
    backend, model.backend = model.backend, reference
    try:
        # With gradients on, the point layers run one by one and are seen by the hooks; otherwise they are fused.
        with torch.enable_grad(), _recorded(model) as costs:
            model(batch, with_points=model.predicts_from_points, sites=sites or countable_sites(batch))
    finally:
        model.backend = backend
    return costs


class _WithoutProducts:
    """A backend that leaves the products out: which rows meet does not depend on features."""

    def __init__(self) -> None:
        if library.status()[0]:
            self.site_index = load_backend("native").site_index

    def convolve(self, features_VI: torch.Tensor, weight_KIO: torch.Tensor, kernel_map: AnyMap) -> torch.Tensor:
        return features_VI.new_zeros(kernel_map.num_out, weight_KIO.shape[2])


@contextmanager
def _recorded(model: Network) -> Iterator[list[LayerCost]]:
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
