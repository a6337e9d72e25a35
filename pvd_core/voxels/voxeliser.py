"""What networks, losses and data need of a grid: CylindricalGrid, CartesianGrid, or another of their kind."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import torch

if TYPE_CHECKING:
    from pvd_core.voxels.batch import VoxelBatch
    from pvd_core.voxels.placed import PlacedPoints

# One number for each axis of a grid.
Triple = tuple[int, int, int]


class Voxeliser(Protocol):
    """A grid that turns scans into voxels. Grids are frozen dataclasses, so they can be compared and hashed."""

    @property
    def time(self) -> bool:
        """Whether points have a fifth number, how many scans back they are, which becomes their last feature."""
        ...

    @property
    def num_point_features(self) -> int:
        """Number of features that it gives each point."""
        ...

    def voxelise(self, scans: Sequence[torch.Tensor]) -> "VoxelBatch":
        """A VoxelBatch of `scans`, B float32 tensors (P_b, 4), or (P_b, 5) with `time`: x, y, z in metres, intensity in
        0..1, scans back; all finite. Scans may be empty. The voxels are sorted by scan and by their indices along the
        axes."""
        ...

    def centres(self, batch: "VoxelBatch") -> torch.Tensor:
        """Centres of the voxels of a batch of this grid, float32 (V, 3): x, y, z in metres in the sensor's frame."""
        ...

    @property
    def fixed_shape(self) -> Triple:
        """Cells along each axis in which programs of fixed shapes number every scan."""
        ...

    def place(self, points_P4: torch.Tensor, is_measured_P: torch.Tensor) -> "PlacedPoints":
        """One scan in cells of `fixed_shape`, without waiting for the device; for grids without `time`. Features and,
        but for where they begin, cells are those that `voxelise` gives the measured points alone. The others must be
        finite too."""
        ...

    def sites_a_point(self, num_points: int, strides: Sequence[Triple]) -> tuple[float, ...]:
        """For how many sites a program needs room at each level of a network with these strides between levels: per
        point of the largest cloud that it takes, one of `num_points` points."""
        ...

    def settings(self) -> dict[str, Any]:
        """The settings from which `grid_from_settings` makes an equal grid, JSON-serialisable."""
        ...
