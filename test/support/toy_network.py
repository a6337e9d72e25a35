"""A fourth family, as docs/architecture.md says that one is added: a config, a network, a line in ARCHITECTURES."""

from dataclasses import dataclass, field

from torch import nn

from pvd_core.models.network import Network
from pvd_core.models.output import SegmentationOutput
from pvd_core.sparse import SparseTensor, SubmanifoldConvolution
from pvd_core.voxels import CartesianGrid, first_of_points


@dataclass(frozen=True)
class ToyConfig:
    width: int = 8
    num_classes: int = 20
    grid: CartesianGrid = field(default_factory=lambda: CartesianGrid(voxel_size=1.0))


class ToyNetwork(Network):
    """One convolution and a linear layer."""

    def __init__(self, config=ToyConfig()):
        super().__init__(config)
        self.conv = SubmanifoldConvolution(4, config.width, (3, 3, 3))
        self.classifier = nn.Linear(config.width, config.num_classes)

    predicts_from_points = False
    has_point_outputs = False
    concatenations = ()
    strides = ()
    voxel_stages = ("conv", "classifier")

    @property
    def voxel_feature_channels(self):
        return self.config.width

    @property
    def label_layer(self):
        return self.classifier

    @property
    def stages(self):
        return {"convolution": self.conv, "logits": self.classifier}

    def forward(self, batch, with_points=True, sites=None):
        sites = sites or self.sites_of(batch)
        inputs_V4 = first_of_points(batch.point_features_PF.to(self.conv.weight.dtype), batch)
        features_VC = nn.functional.relu(self.conv(SparseTensor(inputs_V4, sites)).features_VC)
        return SegmentationOutput(self.classifier(features_VC), features_VC)
