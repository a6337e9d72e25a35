"""MinkUNet (Choy et al., CVPR 2019) as the SPVNAS authors train it: a residual U-Net on Cartesian voxels (spec 5.2).

V voxels, P points, C class scores, D channels.
"""

from typing import cast

import torch
from torch import nn

from pvd_core.models.cartesian_config import CartesianConfig
from pvd_core.models.network import Concatenation, Network
from pvd_core.models.output import SegmentationOutput
from pvd_core.models.residual_unet import STRIDES, ResidualUNet
from pvd_core.sparse import SparseTensor
from pvd_core.sparse.interfaces import AnySites, Triple
from pvd_core.sparse.interpolation import trilinear
from pvd_core.voxels import PointsInVoxels, VoxelBatch, first_of_points


class MinkUNet(Network):
    """Labels voxels; a point gets its voxel's label. Its point outputs, which only distillation reads, are the voxels'
    features interpolated at the points, and their class scores (spec 5.7)."""

    config: CartesianConfig

    def __init__(self, config: CartesianConfig) -> None:
        super().__init__(config)
        self.backbone = ResidualUNet(config.unet)
        self.classifier = nn.Linear(config.unet.out, config.num_classes)

    @property
    def predicts_from_points(self) -> bool:
        return False

    @property
    def has_point_outputs(self) -> bool:
        return True

    @property
    def has_point_loss(self) -> bool:
        return False

    @property
    def voxel_feature_channels(self) -> int:
        return self.config.unet.out

    @property
    def label_layer(self) -> nn.Linear:
        return self.classifier

    @property
    def strides(self) -> tuple[tuple[Triple, Triple], ...]:
        return STRIDES

    @property
    def concatenations(self) -> tuple[Concatenation, ...]:
        return self.backbone.concatenations("backbone.")

    @property
    def stages(self) -> dict[str, nn.Module]:
        return {**self.backbone.stages(), "logits": self.classifier}

    @property
    def voxel_stages(self) -> tuple[str, ...]:
        return "backbone", "classifier"

    def forward(
        self, batch: PointsInVoxels, with_points: bool = False, sites: AnySites | None = None
    ) -> SegmentationOutput:
        if sites is None:
            sites = self.sites_of(cast(VoxelBatch, batch))
        inputs_V4 = first_of_points(batch.point_features_PF.to(self.classifier.weight.dtype), batch)
        features_VD = self.backbone(SparseTensor(inputs_V4, sites)).features_VC
        voxel_logits_VC = self.classifier(features_VD)
        if not with_points:
            return SegmentationOutput(voxel_logits_VC, features_VD)
        features_PD = trilinear(sites, _positions(cast(VoxelBatch, batch), self.config.grid.voxel_size)).apply(
            features_VD
        )
        return SegmentationOutput(voxel_logits_VC, features_VD, self.classifier(features_PD), features_PD)


def _positions(batch: VoxelBatch, voxel_size: float) -> torch.Tensor:
    """(scan, x, y, z) of the points in cells of their scan, float32 (P, 4); whole numbers are centres of cells."""
    scan_P = batch.coords_V4[batch.point_to_voxel_P, 0]
    cells_P3 = batch.point_features_PF[:, :3] / voxel_size - batch.lowest_B3[scan_P]
    return torch.cat((scan_P[:, None].float(), cells_P3), dim=1)
