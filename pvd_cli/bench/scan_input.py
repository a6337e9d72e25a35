"""A cloud as the network gets it, and what the network costs on it."""

from functools import cached_property

import torch

from pvd_cli.bench.macs import layer_costs
from pvd_core.clouds.measured import is_measured, measured_points
from pvd_core.sparse import SparseConvolution
from pvd_core.sparse.backends import reference
from pvd_core.voxels import voxelise

# What `network_ms` times: the sparse U-Net and the layer that gives its logits.
NETWORK = ("backbone", "head.conv")


class ScanInput:
    """`points` float32 (N, 4), any number of them, on the segmenter's device and grid."""

    def __init__(self, segmenter, points):
        self.num_points = len(points)
        self.scan = torch.from_numpy(measured_points(points, is_measured(points))).to(segmenter.device)
        self.batch = voxelise([self.scan], segmenter.model.grid)
        self._model = segmenter.model

    @property
    def num_voxels(self):
        return self.batch.num_voxels

    @property
    def is_empty(self):
        return self.num_voxels == 0

    @cached_property
    def costs(self):
        """LayerCosts of every layer, in order of execution; the same whichever backend is timed."""
        if self.is_empty:
            return []
        backend, self._model.backend = self._model.backend, reference
        try:
            return layer_costs(self._model, self.batch)
        finally:
            self._model.backend = backend

    @property
    def sparse_costs(self):
        sparse = {name for name, module in self._model.named_modules() if isinstance(module, SparseConvolution)}
        return [cost for cost in self.costs if cost.name in sparse]

    @property
    def macs(self):
        return sum(cost.macs for cost in self.costs)


def timed_network(model):
    """{name: module} whose calls together are the network of `network_ms`."""
    return {name: model.get_submodule(name) for name in NETWORK}
