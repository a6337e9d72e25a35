"""A cloud as the network gets it, and what the network costs on it."""

from functools import cached_property

import numpy as np
import torch
from torch import nn

from pvd_core.clouds.measured import is_measured, measured_points
from pvd_core.models import Network
from pvd_core.models.macs import LayerCost, layer_costs
from pvd_core.segmenter import Segmenter
from pvd_core.sparse import SparseConvolution


class ScanInput:
    """A cloud voxelised for a Segmenter, on the Segmenter's device."""

    def __init__(self, segmenter: Segmenter, points: np.ndarray) -> None:
        """`points` float32 (N, 4): x, y, z in metres, intensity in 0..1; there may be none."""
        measured = segmenter.past_scans.aged(measured_points(points, is_measured(points)), 0)
        self.scan = torch.from_numpy(measured).to(segmenter.device)
        self.batch = segmenter.model.grid.voxelise([self.scan])
        self.num_points, self.num_voxels = len(points), self.batch.num_voxels
        self.is_empty = self.num_voxels == 0
        self._model = segmenter.model

    @cached_property
    def costs(self) -> list[LayerCost]:
        """Of every layer, in order of execution; the same whichever backend is timed."""
        return [] if self.is_empty else layer_costs(self._model, self.batch)

    @property
    def sparse_costs(self) -> list[LayerCost]:
        """Of the sparse layers alone."""
        sparse = {name for name, module in self._model.named_modules() if isinstance(module, SparseConvolution)}
        return [cost for cost in self.costs if cost.name in sparse]

    @property
    def macs(self) -> int:
        """Multiply-accumulates of all layers."""
        return sum(cost.macs for cost in self.costs)


def timed_network(model: Network) -> dict[str, nn.Module]:
    """{name: module} whose calls together are the network of `network_ms`: all that works on voxels."""
    return {name: model.get_submodule(name) for name in model.voxel_stages}
