"""The point branch of Cylinder3D: an MLP on each point, the maximum over the points of a voxel, a linear compression.

P points, V voxels, F input features, D point features, E voxel features.
"""

import itertools
from collections.abc import Sequence
from typing import cast

import torch
from torch import nn

from pvd_core.models.fused_linear import Layer, folded, run_layers
from pvd_core.models.norm import Norm
from pvd_core.sparse.backends import reference
from pvd_core.sparse.interfaces import Backend
from pvd_core.voxels import PointsInVoxels, max_of_points


class PointMLP(nn.Module):
    """(P, F) -> (P, D): input norm, linear-norm-ReLU for each of `widths`, and a last linear layer without norm."""

    def __init__(self, in_features: int, widths: Sequence[int], out_features: int) -> None:
        super().__init__()
        self.in_norm = Norm(in_features)
        sizes = (in_features, *widths)
        self.layers = linear_layers(sizes)
        self.out = nn.Linear(sizes[-1], out_features)

    def forward(self, features_PF: torch.Tensor, backend: Backend = reference) -> torch.Tensor:
        """`backend` computes the layers where no gradients are needed."""
        if not (self.training or torch.is_grad_enabled()):
            return run_layers(features_PF, self._folded(), backend)[0]
        features = self.in_norm(features_PF)
        for layer in self.layers:
            features = layer(features)
        return self.out(features)

    def _folded(self) -> list[Layer]:
        layers = [folded(layer.linear, after=layer.norm) for layer in self.layers]
        layers[0] = folded(self.layers[0].linear, before=self.in_norm, after=self.layers[0].norm)
        return [*(Layer(*layer, relu=True) for layer in layers), Layer(self.out.weight, self.out.bias)]


class LinearNormReLU(nn.Module):
    """(N, in_features) -> (N, out_features)."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, out_features)
        self.norm = Norm(out_features)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return nn.functional.relu(self.norm(self.linear(features)), inplace=True)


def linear_layers(sizes: Sequence[int]) -> "Sequence[LinearNormReLU]":
    """A ModuleList of layers from each size to the next."""
    layers = nn.ModuleList(LinearNormReLU(size_in, size_out) for size_in, size_out in itertools.pairwise(sizes))
    # Typed as what it holds, which ModuleList does not tell.
    return cast("Sequence[LinearNormReLU]", layers)


class VoxelCompression(nn.Module):
    """Point features (P, D) -> voxel features (V, E): maximum over each voxel's points, linear, ReLU."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, out_features)

    def forward(self, features_PD: torch.Tensor, batch: PointsInVoxels, backend: Backend = reference) -> torch.Tensor:
        """`backend` computes the layer where no gradients are needed."""
        features_VD = max_of_points(features_PD, batch)
        if not (self.training or torch.is_grad_enabled()):
            return run_layers(features_VD, [Layer(self.linear.weight, self.linear.bias, relu=True)], backend)[0]
        return nn.functional.relu(self.linear(features_VD), inplace=True)
