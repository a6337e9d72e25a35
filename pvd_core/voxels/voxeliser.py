"""What networks, losses and data need of a grid: CylindricalGrid, CartesianGrid, or another of their kind."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import torch

if TYPE_CHECKING:
    from pvd_core.voxels.batch import VoxelBatch

# One number for each axis of a grid.
Triple = tuple[int, int, int]


class Voxeliser(Protocol):
    """A grid that turns scans into voxels. Grids are frozen dataclasses, so they can be compared and hashed."""

    @property
    def num_point_features(self) -> int:
        """Number of features that it gives each point."""
        ...

    def voxelise(self, scans: Sequence[torch.Tensor]) -> "VoxelBatch":
        """A VoxelBatch of `scans`, B float32 tensors (P_b, 4): x, y, z in metres, intensity in 0..1; all finite. Scans
        may be empty. The voxels are sorted by scan and by their indices along the axes."""
        ...

    def centres(self, batch: "VoxelBatch") -> torch.Tensor:
        """Centres of the voxels of a batch of this grid, float32 (V, 3): x, y, z in metres in the sensor's frame."""
        ...

    def settings(self) -> dict[str, Any]:
        """The settings from which `grid_from_settings` makes an equal grid, JSON-serialisable."""
        ...
