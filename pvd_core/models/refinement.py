"""Point refinement of Cylinder3D: class scores for each point from the features of its voxel and its own.

The authors did not release theirs. R3, the default, follows their hint that it mirrors the point MLP. R1 adds voxel and
point features; it only serves as an auxiliary loss in training.

P points, V voxels, E voxel features, D point features, C class scores.
"""

from collections.abc import Sequence

import torch
from torch import nn

from pvd_core.models.fused_linear import Joined, Layer, folded, run_layers
from pvd_core.models.norm import Norm
from pvd_core.models.point_mlp import linear_layers
from pvd_core.sparse.backends import reference
from pvd_core.sparse.interfaces import Backend


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
        self,
        voxel_features_VE: torch.Tensor,
        point_features_PD: torch.Tensor,
        point_to_voxel_P: torch.Tensor,
        backend: Backend = reference,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(class scores (P, C), last hidden activation (P, widths[-1])). `point_to_voxel_P` int64. `backend` computes
        the layers where no gradients are needed."""
        if not (self.training or torch.is_grad_enabled()):
            return self._fused(voxel_features_VE, point_features_PD, point_to_voxel_P, backend)
        gathered = self.from_voxel(voxel_features_VE).index_select(0, point_to_voxel_P)
        hidden = nn.functional.relu(self.norm(gathered + self.from_point(point_features_PD)), inplace=True)
        for layer in self.layers:
            hidden = layer(hidden)
        return self.out(hidden), hidden

    def _fused(
        self,
        voxel_features_VE: torch.Tensor,
        point_features_PD: torch.Tensor,
        point_to_voxel_P: torch.Tensor,
        backend: Backend,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        voxel_layer = Layer(folded(self.from_voxel, after=self.norm)[0], None)
        from_voxels_VH, _ = run_layers(voxel_features_VE, [voxel_layer], backend)
        layers = [
            Layer(*folded(self.from_point, after=self.norm), relu=True),
            *(Layer(*folded(layer.linear, after=layer.norm), relu=True) for layer in self.layers),
            Layer(self.out.weight, self.out.bias),
        ]
        return run_layers(point_features_PD, layers, backend, Joined(from_voxels_VH, point_to_voxel_P), True)


class AddRefinement(nn.Module):
    """R1: classes from (linear-norm-LeakyReLU of the voxel features) + point features."""

    def __init__(self, voxel_features: int, point_features: int, num_classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(voxel_features, point_features)
        self.norm = Norm(point_features)
        self.out = nn.Linear(point_features, num_classes)

    def forward(
        self,
        voxel_features_VE: torch.Tensor,
        point_features_PD: torch.Tensor,
        point_to_voxel_P: torch.Tensor,
        backend: Backend = reference,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(class scores (P, C), fused features (P, D)). `backend` is not used: it serves training alone."""
        gathered = self.linear(voxel_features_VE).index_select(0, point_to_voxel_P)
        fused = nn.functional.leaky_relu(self.norm(gathered)) + point_features_PD
        return self.out(fused), fused
