"""SPVCNN and SPVNAS (Tang et al., ECCV 2020): the residual U-Net with a branch that keeps full resolution (spec 5.3).

The branch's points are the occupied voxels, as in the published networks. V voxels of the finest level, P points,
C class scores, D channels.
"""

import itertools
from typing import cast

import torch
from torch import nn

from pvd_core.models.cartesian_config import CartesianConfig
from pvd_core.models.cartesian_network import CartesianNetwork
from pvd_core.models.fused_linear import Layer, folded, run_layers
from pvd_core.models.output import SegmentationOutput
from pvd_core.models.point_mlp import LinearNormReLU
from pvd_core.models.residual_unet import ResidualUNet
from pvd_core.models.unet_plan import NUM_LEVELS
from pvd_core.sparse import SparseTensor
from pvd_core.sparse.interfaces import AnySites
from pvd_core.sparse.interpolation import Interpolation, mean_of_rows, trilinear
from pvd_core.voxels import PointsInVoxels

_DROPOUT = 0.3  # of the means that coarse levels take from the branch


class SPVCNN(CartesianNetwork):
    """Labels points by the branch. Its voxel outputs, which only training reads, are the U-Net's alone (spec 5.7)."""

    def __init__(self, config: CartesianConfig) -> None:
        super().__init__(config)
        plan = config.unet
        self.backbone = ResidualUNet(plan, config.grid.num_voxel_features)
        places = plan.point_channels
        self.branch = nn.ModuleList(LinearNormReLU(*channels) for channels in itertools.pairwise(places))
        self.dropout = nn.Dropout(_DROPOUT)
        self.classifier = nn.Linear(plan.out, config.num_classes)

    @property
    def predicts_from_points(self) -> bool:
        return True

    @property
    def stages(self) -> dict[str, nn.Module]:
        branch = {f"point branch {number}": layer for number, layer in enumerate(self.branch, start=1)}
        return {**self.backbone.stages(), **branch, "logits": self.classifier}

    @property
    def point_branch(self) -> tuple[str, ...]:
        return ("branch",)

    @property
    def voxel_stages(self) -> tuple[str, ...]:
        steps = [f"backbone.{way}.{number}" for way in ("down", "up") for number in range(NUM_LEVELS)]
        return "backbone.stem", *steps, "classifier"

    def forward(
        self, batch: PointsInVoxels, with_points: bool = True, sites: AnySites | None = None
    ) -> SegmentationOutput:
        up, (fine, *skips, coarse) = self.backbone.up, self.backbone.encode(self.input_of(batch, sites))
        branch_VD, coarse = self._exchange(0, 16, fine.features_VC, coarse, fine.sites)
        middle = up[1](up[0](coarse, skips[2]), skips[1])
        branch_VD, middle = self._exchange(1, 4, branch_VD, middle, fine.sites)
        features_VD = up[3](up[2](middle, skips[0]), fine).features_VC
        branch_VD = features_VD + self._transformed(2, branch_VD)

        # Scores first, then points: there are fewer voxels.
        logits_PC = self.classifier(branch_VD).index_select(0, batch.point_to_voxel_P)
        if not with_points:
            return SegmentationOutput(self.classifier(features_VD), features_VD, logits_PC)
        features_PD = branch_VD.index_select(0, batch.point_to_voxel_P)
        return SegmentationOutput(self.classifier(features_VD), features_VD, logits_PC, features_PD)

    def _exchange(
        self, place: int, scale: int, branch_VD: torch.Tensor, tensor: SparseTensor, fine: AnySites
    ) -> tuple[torch.Tensor, SparseTensor]:
        """The branch, and a level whose cells are `scale` times as large, after each has taken in the other."""
        # Kept with the sites, as their kernel maps are: student and teacher share them.
        around = fine.cached(("around", scale), lambda: _around(fine.coords_V4, tensor.sites, scale))
        branch_VD = around.apply(tensor.features_VC) + self._transformed(place, branch_VD)
        means_VD = mean_of_rows(branch_VD, around.cells_N, tensor.sites.num_sites)
        return branch_VD, tensor.with_features(self.dropout(means_VD))

    def _transformed(self, place: int, branch_VD: torch.Tensor) -> torch.Tensor:
        layer = cast(LinearNormReLU, self.branch[place])
        if self.training or torch.is_grad_enabled():
            return layer(branch_VD)
        return run_layers(branch_VD, [Layer(*folded(layer.linear, after=layer.norm), relu=True)], self.backend)[0]


def _around(fine_V4: torch.Tensor, coarse: AnySites, scale: int) -> Interpolation:
    """Of cells that are `scale` times as large as those of `fine_V4`, int64, at each of these."""
    return trilinear(coarse, torch.cat((fine_V4[:, :1], torch.div(fine_V4[:, 1:], scale)), dim=1))
