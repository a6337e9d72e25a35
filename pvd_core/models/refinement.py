"""Point refinement of Cylinder3D: class scores for each point from the features of its voxel and its own.

The authors did not release theirs. R3, the default, follows their hint that it mirrors the point MLP. R1 adds voxel and
point features; it only serves as an auxiliary loss in training.

P points, V voxels, E voxel features, D point features, C class scores.
"""

from collections.abc import Sequence

import torch
from torch import nn

from pvd_core.models.fused_linear import folded, in_chunks, linear
from pvd_core.models.norm import Norm
from pvd_core.models.point_mlp import linear_layers


class MirrorRefinement(nn.Module):
    """R3: concat(voxel features, point features) -> linear-norm-ReLU for each of `widths` -> classes.

    The first linear layer is split in two, so that its part for voxels runs once for each voxel, not for each point.
    """

    def __init__(self, voxel_features: int, point_features: int, widths: Sequence[int], num_classes: int) -> None:
        super().__init__()
        self.from_voxel = nn.Linear(voxel_features, widths[0], bias=False)
        self.from_point = nn.Linear(point_features, widths[0])
        self.norm = Norm(widths[0])
        self.layers = linear_layers(widths)
        self.out = nn.Linear(widths[-1], num_classes)

    def forward(
        self, voxel_features_VE: torch.Tensor, point_features_PD: torch.Tensor, point_to_voxel_P: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(class scores (P, C), last hidden activation (P, widths[-1])). `point_to_voxel_P` int64."""
        if not (self.training or torch.is_grad_enabled()):
            return self._fused(voxel_features_VE, point_features_PD, point_to_voxel_P)
        gathered = self.from_voxel(voxel_features_VE).index_select(0, point_to_voxel_P)
        hidden = nn.functional.relu(self.norm(gathered + self.from_point(point_features_PD)), inplace=True)
        for layer in self.layers:
            hidden = layer(hidden)
        return self.out(hidden), hidden

    def _fused(
        self, voxel_features_VE: torch.Tensor, point_features_PD: torch.Tensor, point_to_voxel_P: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        voxel_weight, _ = folded(self.from_voxel, after=self.norm)
        point_weight, point_bias = folded(self.from_point, after=self.norm)
        layers = [folded(layer.linear, after=layer.norm) for layer in self.layers]
        from_voxels = in_chunks(lambda features: linear(features, voxel_weight, None), voxel_features_VE)

        def run(point_features: torch.Tensor, voxel_numbers: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            hidden = linear(point_features, point_weight, point_bias)
            hidden = hidden.add_(from_voxels.index_select(0, voxel_numbers.squeeze(1))).relu_()
            for weight, bias in layers:
                hidden = linear(hidden, weight, bias, relu=True)
            return linear(hidden, self.out.weight, self.out.bias), hidden

        return in_chunks(run, point_features_PD, point_to_voxel_P[:, None])


class AddRefinement(nn.Module):
    """R1: classes from (linear-norm-LeakyReLU of the voxel features) + point features."""

    def __init__(self, voxel_features: int, point_features: int, num_classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(voxel_features, point_features)
        self.norm = Norm(point_features)
        self.out = nn.Linear(point_features, num_classes)

    def forward(
        self, voxel_features_VE: torch.Tensor, point_features_PD: torch.Tensor, point_to_voxel_P: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(class scores (P, C), fused features (P, D))."""
        gathered = self.linear(voxel_features_VE).index_select(0, point_to_voxel_P)
        fused = nn.functional.leaky_relu(self.norm(gathered)) + point_features_PD
        return self.out(fused), fused
