"""Multiply-accumulates of a network on real input (spec 7.1).

A sparse layer costs (pairs of its kernel map) x C_in x C_out, a linear layer rows x C_in x C_out. Norms, activations,
reductions are not counted.
"""

from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from pvd_core.sparse import SparseConvolution


@dataclass(frozen=True)
class LayerCost:
    name: str
    rows: tuple[int, ...]  # rows of each matrix product: pairs a tap, or the rows of a linear layer
    in_channels: int
    out_channels: int

    @property
    def macs(self):
        return sum(self.rows) * self.in_channels * self.out_channels


def layer_costs(model, batch):
    """A LayerCost a layer, in order of execution, of `model` on a VoxelBatch."""
    # With gradients on, the point layers run one by one, where the hooks see them, and not fused.
    with torch.enable_grad(), _recorded(model) as costs:
        model(batch, with_points=model.predicts_from_points)
    return costs


def count_macs(model, batch):
    """Multiply-accumulates of everything, and of the sparse layers alone."""
    costs = layer_costs(model, batch)
    sparse = {name for name, module in model.named_modules() if isinstance(module, SparseConvolution)}
    return sum(cost.macs for cost in costs), sum(cost.macs for cost in costs if cost.name in sparse)


@contextmanager
def _recorded(model):
    costs, handles = [], []

    def record(name):
        def hook(module, inputs, _output):
            if isinstance(module, SparseConvolution):
                rows, shape = module.kernel_map(*inputs).num_pairs_K, module.weight.shape[1:]
            else:
                rows, shape = (inputs[0].shape[0],), module.weight.shape[::-1]
            costs.append(LayerCost(name, rows, *shape))

        return hook

    for name, module in model.named_modules():
        if isinstance(module, SparseConvolution | nn.Linear):
            handles.append(module.register_forward_hook(record(name)))
    try:
        yield costs
    finally:
        for handle in handles:
            handle.remove()
