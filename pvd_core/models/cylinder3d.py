"""Cylinder3D (Zhu et al., CVPR 2021): point MLP, maximum over the points of each cylindrical voxel, asymmetric sparse
U-Net, point refinement.
"""

from dataclasses import dataclass, field
from typing import cast

from torch import nn

from pvd_core.borders.wording import shown
from pvd_core.models.backbone import STRIDES, SparseUNet
from pvd_core.models.blocks import KERNEL_PLANS
from pvd_core.models.channels import MOST_CLASSES, check_channels
from pvd_core.models.network import Concatenation, Network
from pvd_core.models.output import SegmentationOutput
from pvd_core.models.point_mlp import PointMLP, VoxelCompression
from pvd_core.models.refinement import AddRefinement, MirrorRefinement
from pvd_core.sparse import SparseTensor, SubmanifoldConvolution
from pvd_core.sparse.interfaces import AnySites, Triple
from pvd_core.taxonomy import SEMANTICKITTI
from pvd_core.voxels import CylindricalGrid, PointsInVoxels, VoxelBatch

REFINEMENTS = ("R3", "R1", "none")

# Settings beyond these are mistakes, or made to fill the memory: 128 is four times the official width.
_WIDEST, _MOST_LAYERS = 128, 8


@dataclass(frozen=True)
class Cylinder3DConfig:
    """Sizes of the network; ValueError for impossible ones."""

    width: int = 32  # channels of the first level: 32 is 1x
    num_voxel_features: int = 16
    num_point_features: int = 256
    point_mlp_widths: tuple[int, ...] = (64, 128, 256)
    num_classes: int = SEMANTICKITTI.num_classes
    kernels: str = "as_written"  # one of KERNEL_PLANS
    refinement: str = "R3"  # one of REFINEMENTS
    refinement_widths: tuple[int, ...] = (256, 128, 64)  # for R3 only
    grid: CylindricalGrid = field(default_factory=CylindricalGrid)

    def __post_init__(self) -> None:
        check_channels("width", self.width, _WIDEST)
        check_channels("num_classes", self.num_classes, MOST_CLASSES)
        for name in ("num_voxel_features", "num_point_features"):
            check_channels(name, getattr(self, name))
        for name in ("point_mlp_widths", "refinement_widths"):
            widths = getattr(self, name)
            if not isinstance(widths, (list, tuple)) or len(widths) > _MOST_LAYERS:
                raise ValueError(f"{name} is {shown(widths)}: expected a list of at most {_MOST_LAYERS} channel counts")
            for width in widths:
                check_channels(name, width)
            object.__setattr__(self, name, tuple(widths))
        for name, choices in (("kernels", tuple(KERNEL_PLANS)), ("refinement", REFINEMENTS)):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} {shown(getattr(self, name))}: expected one of {', '.join(choices)}")


class Cylinder3D(Network):
    """Labels points with R3, else voxels."""

    config: Cylinder3DConfig
    refinement: MirrorRefinement | AddRefinement | None

    def __init__(self, config: Cylinder3DConfig = Cylinder3DConfig()) -> None:
        super().__init__(config)
        num_fused = 4 * config.width
        self.point_mlp = PointMLP(config.grid.num_point_features, config.point_mlp_widths, config.num_point_features)
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
    def grid(self) -> CylindricalGrid:
        return self.config.grid

    @property
    def predicts_from_points(self) -> bool:
        return self.config.refinement == "R3"

    @property
    def has_point_outputs(self) -> bool:
        return self.refinement is not None

    @property
    def voxel_feature_channels(self) -> int:
        return 4 * self.config.width

    @property
    def label_layer(self) -> nn.Linear | SubmanifoldConvolution:
        if isinstance(self.refinement, MirrorRefinement):
            return self.refinement.out
        return cast(SubmanifoldConvolution, self.head["conv"])

    @property
    def strides(self) -> tuple[Triple, ...]:
        return STRIDES

    @property
    def point_branch(self) -> tuple[str, ...]:
        return ("point_mlp",)

    @property
    def concatenations(self) -> tuple[Concatenation, ...]:
        halves = (2 * self.config.width,) * 2
        names = "head.conv.weight", "refinement.from_voxel.weight", "refinement.linear.weight"
        return tuple(Concatenation(name, 1, halves) for name in names)

    @property
    def stages(self) -> dict[str, nn.Module]:
        stages: dict[str, nn.Module] = {"point MLP": self.point_mlp, "scatter-max": self.voxel_compress}
        stages |= self.backbone.stages() | {"logits": self.head["conv"]}
        return stages if self.refinement is None else {**stages, "refinement": self.refinement}

    @property
    def half_resolution_stage(self) -> str:
        return "decoder 2"

    @property
    def voxel_stages(self) -> tuple[str, ...]:
        return "backbone", "head.conv"

    def forward(
        self, batch: PointsInVoxels, with_points: bool = True, sites: AnySites | None = None
    ) -> SegmentationOutput:
        point_features_PF = batch.point_features_PF.to(self.point_mlp.out.weight.dtype)
        point_features_PD = self.point_mlp(point_features_PF, self.backend)
        voxel_features_VE = self.voxel_compress(point_features_PD, batch, self.backend)
        if sites is None:
            sites = self.sites_of(cast(VoxelBatch, batch))
        fused = self.backbone(SparseTensor(voxel_features_VE, sites))
        voxel_logits_VC = self.head["conv"](fused).features_VC
        if self.refinement is None or not with_points:
            return SegmentationOutput(voxel_logits_VC, fused.features_VC)
        point_logits_PC, refined_PD = self.refinement(
            fused.features_VC, point_features_PD, batch.point_to_voxel_P, self.backend
        )
        return SegmentationOutput(voxel_logits_VC, fused.features_VC, point_logits_PC, refined_PD)
