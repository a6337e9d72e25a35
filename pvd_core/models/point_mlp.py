"""The point branch of Cylinder3D: an MLP on each point, the maximum over the points of a voxel, a linear compression.

P points, V voxels, F input features, D point features, E voxel features.
"""

import itertools
from collections.abc import Sequence
from typing import cast

import torch
from torch import nn

from pvd_core.models.fused_linear import folded, in_chunks, linear
from pvd_core.models.norm import Norm
from pvd_core.voxels import PointsInVoxels, max_of_points


class PointMLP(nn.Module):
    """(P, F) -> (P, D): input norm, linear-norm-ReLU for each of `widths`, and a last linear layer without norm."""

    def __init__(self, in_features: int, widths: Sequence[int], out_features: int) -> None:
        super().__init__()
        self.in_norm = Norm(in_features)
        sizes = (in_features, *widths)
        self.layers = linear_layers(sizes)
        self.out = nn.Linear(sizes[-1], out_features)

    def forward(self, features_PF: torch.Tensor) -> torch.Tensor:
        if not (self.training or torch.is_grad_enabled()):
            return self._fused(features_PF)
        features = self.in_norm(features_PF)
        for layer in self.layers:
            features = layer(features)
        return self.out(features)

    def _fused(self, features_PF: torch.Tensor) -> torch.Tensor:
        layers = [folded(layer.linear, after=layer.norm) for layer in self.layers]
        layers[0] = folded(self.layers[0].linear, before=self.in_norm, after=self.layers[0].norm)

        def run(features: torch.Tensor) -> torch.Tensor:
            for weight, bias in layers:
                features = linear(features, weight, bias, relu=True)
            return linear(features, self.out.weight, self.out.bias)

        return in_chunks(run, features_PF)


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

    def forward(self, features_PD: torch.Tensor, batch: PointsInVoxels) -> torch.Tensor:
        features_VD = max_of_points(features_PD, batch)
        if not (self.training or torch.is_grad_enabled()):
            return in_chunks(lambda rows: linear(rows, self.linear.weight, self.linear.bias, relu=True), features_VD)
        return nn.functional.relu(self.linear(features_VD), inplace=True)
