"""What the rest of the program needs of a network, whichever family it is of.

V voxels, P points, C class scores.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import nn

from pvd_core.models.output import SegmentationOutput
from pvd_core.sparse import Sites, SubmanifoldConvolution
from pvd_core.sparse.backends import reference
from pvd_core.sparse.interfaces import AnySites, Backend, Triple
from pvd_core.voxels import PointsInVoxels, VoxelBatch
from pvd_core.voxels.voxeliser import Voxeliser


@dataclass(frozen=True)
class Concatenation:
    """An axis of a tensor that runs over the channels of several tensors put together, each of this size. A slice of
    the network takes the first channels of each."""

    name: str  # of the tensor in the network's state
    axis: int
    sizes: tuple[int, ...]


class Network(nn.Module, ABC):
    """Batch of voxelised scans -> SegmentationOutput. A family adds its layers and what is abstract here. `backend`
    computes sparse convolutions; `bare_statistics` are what `models.bare_statistics` found for clouds without
    intensity, if it did."""

    config: Any  # a frozen dataclass with `grid`, a Voxeliser, and `num_classes`
    backend: Backend
    bare_statistics: Mapping[str, torch.Tensor] | None

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config = config
        self.backend = reference
        self.bare_statistics = None

    @property
    def grid(self) -> Voxeliser:
        """What voxelises its input."""
        return self.config.grid

    @property
    def num_parameters(self) -> int:
        """How many numbers it learns."""
        return sum(parameter.numel() for parameter in self.parameters())

    @property
    @abstractmethod
    def predicts_from_points(self) -> bool:
        """Whether the labels of points come from `point_logits_PC`, and not from their voxels."""

    @property
    @abstractmethod
    def has_point_outputs(self) -> bool:
        """Whether its output has the point fields where they are asked for."""

    @property
    def has_point_loss(self) -> bool:
        """Whether it learns from the labels of points too, by its point outputs, and not from those of voxels alone."""
        return self.has_point_outputs

    @property
    @abstractmethod
    def voxel_feature_channels(self) -> int:
        """Channels of `voxel_features_VE`."""

    @property
    @abstractmethod
    def label_layer(self) -> nn.Linear | SubmanifoldConvolution:
        """The layer that computes the class scores behind the labels of points; its bias is (C,)."""

    @property
    def point_branch(self) -> tuple[str, ...]:
        """Names of the modules that see single points before they meet their neighbours; none where it has no such."""
        return ()

    @property
    @abstractmethod
    def strides(self) -> tuple[Triple, ...]:
        """Strides of its steps down, finest first: programs of fixed shapes have room for as many levels and one."""

    @property
    def coarsest_cell(self) -> Triple:
        """How many cells of the grid a cell of its coarsest level spans along each axis."""
        return cast(Triple, tuple(map(math.prod, zip((1, 1, 1), *self.strides, strict=True))))

    @property
    @abstractmethod
    def concatenations(self) -> tuple[Concatenation, ...]:
        """Where its tensors run over concatenated channels."""

    @property
    @abstractmethod
    def stages(self) -> dict[str, nn.Module]:
        """{name: module} of its parts in order of execution, for reports of time."""

    @property
    def half_resolution_stage(self) -> str | None:
        """The one of `stages` that gives features at half resolution on the way up, where M2SKD compares them; None in
        a network without such."""
        return None

    @property
    @abstractmethod
    def voxel_stages(self) -> tuple[str, ...]:
        """Names of the modules that are the network without what it does to single points."""

    def sites_of(self, batch: VoxelBatch) -> Sites:
        """The Sites of a batch, for this network's backend. Networks with the same backend may share them, and with
        them the kernel maps."""
        return Sites(batch.coords_V4, batch.shape, batch.batch_size, self.backend)

    @abstractmethod
    def forward(
        self, batch: PointsInVoxels, with_points: bool = True, sites: AnySites | None = None
    ) -> SegmentationOutput:
        """`batch`: a VoxelBatch, or with `sites` any other PointsInVoxels. `with_points=False` leaves out the point
        fields where labels do not depend on them. `sites`: what `sites_of(batch)` returns, if the caller has it."""
