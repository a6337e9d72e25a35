"""Cylinder3D: point MLP, scatter-max into a cylindrical grid, asymmetric sparse U-Net, point refinement."""

from dataclasses import dataclass, field

from torch import nn

from pvd_core.models.backbone import SparseUNet
from pvd_core.models.blocks import KERNEL_PLANS
from pvd_core.models.output import SegmentationOutput
from pvd_core.models.point_mlp import PointMLP, VoxelCompression
from pvd_core.models.refinement import AddRefinement, MirrorRefinement
from pvd_core.sparse import Sites, SparseTensor, SubmanifoldConvolution
from pvd_core.sparse.backends import reference
from pvd_core.taxonomy import NUM_CLASSES
from pvd_core.voxels import NUM_POINT_FEATURES, CylindricalGrid

REFINEMENTS = ("R3", "R1", "none")


@dataclass(frozen=True)
class Cylinder3DConfig:
    """`width` is the channel count s of the first level: 32 is 1x. `refinement_widths` matter for R3 only."""

    width: int = 32
    num_voxel_features: int = 16
    num_point_features: int = 256
    point_mlp_widths: tuple[int, ...] = (64, 128, 256)
    num_classes: int = NUM_CLASSES
    kernels: str = "as_written"
    refinement: str = "R3"
    refinement_widths: tuple[int, ...] = (256, 128, 64)
    grid: CylindricalGrid = field(default_factory=CylindricalGrid)

    def __post_init__(self):
        if isinstance(self.grid, dict):
            object.__setattr__(self, "grid", CylindricalGrid.from_settings(self.grid))
        if not isinstance(self.grid, CylindricalGrid):
            raise ValueError(f"grid is {self.grid!r}: expected settings such as {{shape: [240, 180, 32]}}")
        for name in ("width", "num_voxel_features", "num_point_features", "num_classes"):
            _check_channels(name, getattr(self, name))
        for name in ("point_mlp_widths", "refinement_widths"):
            widths = getattr(self, name)
            if not isinstance(widths, (list, tuple)):
                raise ValueError(f"{name} is {widths!r}: expected a list of numbers of channels")
            for width in widths:
                _check_channels(name, width)
            object.__setattr__(self, name, tuple(widths))
        for name, choices in (("kernels", tuple(KERNEL_PLANS)), ("refinement", REFINEMENTS)):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} {getattr(self, name)!r}: expected one of {', '.join(choices)}")


def _check_channels(name, value):
    if type(value) is not int or value < 1:
        raise ValueError(f"{name} is {value!r}: expected a whole number of at least 1")


class Cylinder3D(nn.Module):
    def __init__(self, config=Cylinder3DConfig()):
        super().__init__()
        self.config = config
        self.backend = reference
        num_fused = 4 * config.width
        self.point_mlp = PointMLP(NUM_POINT_FEATURES, config.point_mlp_widths, config.num_point_features)
        self.voxel_compress = VoxelCompression(config.num_point_features, config.num_voxel_features)
        self.backbone = SparseUNet(config.num_voxel_features, config.width, KERNEL_PLANS[config.kernels])
        self.head = nn.ModuleDict({"conv": SubmanifoldConvolution(num_fused, config.num_classes, (3, 3, 3), bias=True)})
        if config.refinement == "R3":
            self.refinement = MirrorRefinement(
                num_fused, config.num_point_features, config.refinement_widths, config.num_classes
            )
        elif config.refinement == "R1":
            self.refinement = AddRefinement(num_fused, config.num_point_features, config.num_classes)
        else:
            self.refinement = None

    @property
    def grid(self):
        return self.config.grid

    @property
    def predicts_from_points(self):
        """Whether the labels of points come from the refinement (R3) rather than from their voxels (R1 only helps
        training)."""
        return self.config.refinement == "R3"

    @property
    def label_layer(self):
        """The layer whose outputs, class scores, the labels of points come from; its bias has a number a class."""
        return self.refinement.out if self.predicts_from_points else self.head["conv"]

    def sites_of(self, batch):
        """The Sites of a VoxelBatch, computed by this network's backend; networks may share them and so kernel maps."""
        return Sites(batch.coords_V4, batch.grid.shape, batch.batch_size, self.backend)

    def forward(self, batch, with_points=True, sites=None):
        """SegmentationOutput of a VoxelBatch. `with_points=False` leaves the refinement out. `sites`: those of the
        batch's voxels, where they are there already."""
        point_features_PF = batch.point_features_PF.to(self.point_mlp.out.weight.dtype)
        point_features_PD = self.point_mlp(point_features_PF)
        voxel_features_VE = self.voxel_compress(point_features_PD, batch)
        if sites is None:
            sites = self.sites_of(batch)
        fused = self.backbone(SparseTensor(voxel_features_VE, sites))
        voxel_logits_VC = self.head["conv"](fused).features_VC
        if self.refinement is None or not with_points:
            return SegmentationOutput(voxel_logits_VC, fused.features_VC)
        point_logits_PC, refined_PD = self.refinement(fused.features_VC, point_features_PD, batch.point_to_voxel_P)
        return SegmentationOutput(voxel_logits_VC, fused.features_VC, point_logits_PC, refined_PD)
