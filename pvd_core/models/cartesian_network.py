"""What MinkUNet and SPVCNN have in common: voxels in cubes, a residual U-Net and a linear classifier."""

from typing import cast

from torch import nn

from pvd_core.models.cartesian_config import CartesianConfig
from pvd_core.models.network import Concatenation, Network
from pvd_core.models.residual_unet import STRIDES, ResidualUNet
from pvd_core.sparse import SparseTensor
from pvd_core.sparse.interfaces import AnySites, Triple
from pvd_core.voxels import PointsInVoxels, VoxelBatch


class CartesianNetwork(Network):
    """A network with `backbone` and `classifier`."""

    config: CartesianConfig
    backbone: ResidualUNet
    classifier: nn.Linear

    @property
    def has_point_outputs(self) -> bool:
        return True

    @property
    def voxel_feature_channels(self) -> int:
        return self.backbone.plan.out

    @property
    def label_layer(self) -> nn.Linear:
        return self.classifier

    @property
    def strides(self) -> tuple[Triple, ...]:
        return STRIDES

    @property
    def concatenations(self) -> tuple[Concatenation, ...]:
        return self.backbone.concatenations("backbone.")

    @property
    def stages(self) -> dict[str, nn.Module]:
        return {**self.backbone.stages(), "logits": self.classifier}

    @property
    def half_resolution_stage(self) -> str:
        return "up 3"

    def input_of(self, batch: PointsInVoxels, sites: AnySites | None) -> SparseTensor:
        """What the U-Net gets. `sites`: as of `forward`."""
        if sites is None:
            sites = self.sites_of(cast(VoxelBatch, batch))
        features_VF = self.config.grid.voxel_features(batch)
        return SparseTensor(features_VF.to(self.classifier.weight.dtype), sites)
