"""The point branch of Cylinder3D: an MLP on every point, the maximum over a voxel's points, a linear compression.

P points, V voxels, F input features, D point features, E voxel features.
"""

import itertools

import torch
from torch import nn

from pvd_core.models.fused_linear import folded, in_chunks, linear
from pvd_core.models.norm import Norm
from pvd_core.voxels import max_of_points


class PointMLP(nn.Module):
    """(P, F) -> (P, D): input norm, then linear-norm-ReLU for each of `widths`, then a bare linear layer."""

    def __init__(self, in_features, widths, out_features):
        super().__init__()
        self.in_norm = Norm(in_features)
        sizes = (in_features, *widths)
        self.layers = nn.ModuleList(
            LinearNormReLU(size_in, size_out) for size_in, size_out in itertools.pairwise(sizes)
        )
        self.out = nn.Linear(sizes[-1], out_features)

    def forward(self, features_PF):
        if not (self.training or torch.is_grad_enabled()):
            return self._fused(features_PF)
        features = self.in_norm(features_PF)
        for layer in self.layers:
            features = layer(features)
        return self.out(features)

    def _fused(self, features_PF):
        layers = [folded(layer.linear, after=layer.norm) for layer in self.layers]
        layers[0] = folded(self.layers[0].linear, before=self.in_norm, after=self.layers[0].norm)

        def run(features):
            for weight, bias in layers:
                features = linear(features, weight, bias, relu=True)
            return linear(features, self.out.weight, self.out.bias)

        return in_chunks(run, features_PF)


class LinearNormReLU(nn.Module):
    def __init__(self, in_features, out_features):
        super().__init__()
        self.linear = nn.Linear(in_features, out_features)
        self.norm = Norm(out_features)

    def forward(self, features):
        return nn.functional.relu(self.norm(self.linear(features)), inplace=True)


class VoxelCompression(nn.Module):
    """Point features (P, D) -> voxel features (V, E): maximum over each voxel's points, linear, ReLU."""

    def __init__(self, in_features, out_features):
        super().__init__()
        self.linear = nn.Linear(in_features, out_features)

    def forward(self, features_PD, batch):
        features_VD = max_of_points(features_PD, batch)
        if not (self.training or torch.is_grad_enabled()):
            return in_chunks(lambda rows: linear(rows, self.linear.weight, self.linear.bias, relu=True), features_VD)
        return nn.functional.relu(self.linear(features_VD), inplace=True)
