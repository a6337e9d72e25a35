"""MinkUNet (Choy et al., CVPR 2019) as the SPVNAS authors train it: a residual U-Net on Cartesian voxels (spec 5.2).

V voxels, P points, C class scores, D channels.
"""

from typing import cast

import torch

from pvd_core.models.cartesian_config import CartesianConfig
from pvd_core.models.cartesian_network import CartesianNetwork
from pvd_core.models.fused_linear import Classifier
from pvd_core.models.output import SegmentationOutput
from pvd_core.models.residual_unet import ResidualUNet
from pvd_core.sparse.interfaces import AnySites
from pvd_core.sparse.interpolation import Interpolation, trilinear
from pvd_core.voxels import PointsInVoxels, VoxelBatch


class MinkUNet(CartesianNetwork):
    """Labels voxels; a point gets its voxel's label. Its point outputs, which only distillation reads, are the voxels'
    features interpolated at the points, and their class scores (spec 5.7)."""

    def __init__(self, config: CartesianConfig) -> None:
        super().__init__(config)
        self.backbone = ResidualUNet(config.unet, config.grid.num_voxel_features)
        self.classifier = Classifier(config.unet.out, config.num_classes)

    @property
    def predicts_from_points(self) -> bool:
        return False

    @property
    def has_point_loss(self) -> bool:
        return False

    @property
    def voxel_stages(self) -> tuple[str, ...]:
        return "backbone", "classifier"

    def forward(
        self, batch: PointsInVoxels, with_points: bool = False, sites: AnySites | None = None
    ) -> SegmentationOutput:
        tensor = self.backbone(self.input_of(batch, sites))
        features_VD = tensor.features_VC
        voxel_logits_VC = self.classifier(features_VD, tensor.sites.backend)
        if not with_points:
            return SegmentationOutput(voxel_logits_VC, features_VD)
        # Kept with the sites, as their kernel maps are: student and teacher share them.
        around = tensor.sites.cached("around points", lambda: self._around(cast(VoxelBatch, batch), tensor.sites))
        features_PD = around.apply(features_VD)
        return SegmentationOutput(voxel_logits_VC, features_VD, self.classifier(features_PD), features_PD)

    def _around(self, batch: VoxelBatch, sites: AnySites) -> Interpolation:
        return trilinear(sites, _positions(batch, self.config.grid.voxel_size))


def _positions(batch: VoxelBatch, voxel_size: float) -> torch.Tensor:
    """(scan, x, y, z) of the points in cells of their scan, float32 (P, 4); whole numbers are centres of cells."""
    scan_P = batch.coords_V4[batch.point_to_voxel_P, 0]
    cells_P3 = batch.point_features_PF[:, :3] / voxel_size - batch.lowest_B3[scan_P]
    return torch.cat((scan_P[:, None].float(), cells_P3), dim=1)
