"""The cylindrical grid of Cylinder3D: radius rho, azimuth phi, height z.

P points, V voxels. Bounds, cell sizes and the clamping of far points are those of the official data loader.
"""

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, cast

import torch

from pvd_core.borders.wording import shown
from pvd_core.native import cells
from pvd_core.voxels.batch import VoxelBatch
from pvd_core.voxels.features import NUM_POINT_FEATURES, point_features
from pvd_core.voxels.occupied import occupied_cells, scan_of_points

# The official code bounds phi by this truncated pi; the borders of cells depend on it.
_PHI_LIMIT = 3.1415926

# Twelve times the official grid, and far more than any LiDAR sees: larger settings are mistakes.
_MOST_CELLS = 2**26
_FARTHEST_M = 10_000.0


@dataclass(frozen=True)
class CylindricalGrid:
    """`shape` cells along (rho, phi, z) over `rho_range` (metres), all azimuths and `z_range` (metres).

    Points outside are not dropped: they belong to the nearest border cell. Raises ValueError for impossible settings.
    """

    shape: tuple[int, int, int] = (480, 360, 32)
    rho_range: tuple[float, float] = (0.0, 50.0)
    z_range: tuple[float, float] = (-4.0, 2.0)

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> "CylindricalGrid":
        """A grid from a dictionary with some or all of its fields; ValueError names the one that does not fit."""
        known = [field.name for field in fields(cls)]
        for key, value in settings.items():
            if key not in known:
                raise ValueError(f"unknown grid setting {shown(key)}: expected {', '.join(known)}")
            if not isinstance(value, (list, tuple)) or not all(isinstance(number, (int, float)) for number in value):
                raise ValueError(f"grid {key} is {shown(value)}: expected a list of numbers")
        return cls(**settings)

    def __post_init__(self) -> None:
        if len(self.shape) != 3 or not all(type(n) is int and n >= 2 for n in self.shape):
            raise ValueError(f"grid shape {shown(self.shape)}: expected three sizes, whole numbers of at least 2")
        if math.prod(self.shape) > _MOST_CELLS:
            raise ValueError(f"grid shape {shown(self.shape)}: expected at most {_MOST_CELLS:,} cells in all")
        object.__setattr__(self, "shape", tuple(self.shape))
        for name in ("rho_range", "z_range"):
            limits = getattr(self, name)
            if len(limits) != 2 or not all(_is_distance(value) for value in limits):
                raise ValueError(f"grid {name} {shown(limits)}: expected two numbers of metres, up to {_FARTHEST_M:g}")
            low, high = float(limits[0]), float(limits[1])
            if not low < high:
                raise ValueError(f"grid {name} ({low}, {high}): the first must be below the second")
            object.__setattr__(self, name, (low, high))

    def settings(self) -> dict[str, Any]:
        """As Voxeliser."""
        return {"kind": "cylindrical", **asdict(self)}

    @property
    def num_point_features(self) -> int:
        """As Voxeliser: those of `point_features`."""
        return NUM_POINT_FEATURES

    @property
    def minimum(self) -> tuple[float, float, float]:
        """Lowest (rho, phi, z) of the grid: metres, radians, metres."""
        return (self.rho_range[0], -_PHI_LIMIT, self.z_range[0])

    @property
    def maximum(self) -> tuple[float, float, float]:
        """Highest (rho, phi, z) of the grid: metres, radians, metres."""
        return (self.rho_range[1], _PHI_LIMIT, self.z_range[1])

    @property
    def cell_size(self) -> tuple[float, float, float]:
        """Size of a cell along (rho, phi, z): metres, radians, metres. As in the official code it is the range divided
        by the number of cells minus one, so the last cell of an axis holds only points at or beyond the maximum."""
        rho, phi, z = (
            (high - low) / (size - 1) for low, high, size in zip(self.minimum, self.maximum, self.shape, strict=True)
        )
        return rho, phi, z

    def cylindrical(self, points_P3: torch.Tensor) -> torch.Tensor:
        """(rho, phi, z), float32 (P, 3) in metres, radians, metres, of points that begin with x, y, z in metres."""
        x, y, z = points_P3[:, 0], points_P3[:, 1], points_P3[:, 2]
        return torch.stack((torch.sqrt(x * x + y * y), torch.atan2(y, x), z), dim=1)

    def indices(self, cylindrical_P3: torch.Tensor) -> torch.Tensor:
        """Index of each point's cell along (rho, phi, z), int64 (P, 3). Computed in float64, because the borders of
        cells must lie exactly where the official code puts them."""
        minimum, maximum, cell = _tensors(self, cylindrical_P3.device)
        position = cylindrical_P3.double().clamp(minimum, maximum) - minimum
        return torch.floor(position / cell).long()

    def cell_centres(self, indices_P3: torch.Tensor) -> torch.Tensor:
        """Centres (rho, phi, z) of the cells with these indices, float64 (P, 3)."""
        minimum, _, cell = _tensors(self, indices_P3.device)
        return (indices_P3.double() + 0.5) * cell + minimum

    def centres(self, batch: VoxelBatch) -> torch.Tensor:
        """As Voxeliser."""
        rho_V, phi_V, z_V = self.cell_centres(batch.coords_V4[:, 1:]).unbind(dim=1)
        return torch.stack((rho_V * torch.cos(phi_V), rho_V * torch.sin(phi_V), z_V), dim=1).float()

    def voxelise(self, scans: Sequence[torch.Tensor]) -> VoxelBatch:
        """As Voxeliser; the axes are rho, phi, z."""
        points_P4 = torch.cat(tuple(scans)) if len(scans) != 1 else scans[0]
        num_points, scan_P = tuple(len(scan) for scan in scans), scan_of_points(scans)
        whole = self, self.shape, torch.zeros(len(scans), 3, dtype=torch.int64, device=points_P4.device)
        cylindrical_P3 = self.cylindrical(points_P4)
        if cells.is_usable_for(points_P4) and cells.fits(self.shape):  # with the same result, to the bit
            bounds = self.minimum, self.maximum, self.cell_size
            parts = cells.voxelise(points_P4, cylindrical_P3, scan_P, bounds, self.shape, len(scans))
            return VoxelBatch(*parts, num_points, *whole)
        indices_P3 = self.indices(cylindrical_P3)
        features_P9 = point_features(points_P4, cylindrical_P3, self.cell_centres(indices_P3))
        return VoxelBatch(features_P9, *occupied_cells(scan_P, indices_P3, self.shape), num_points, *whole)


def _is_distance(value: object) -> bool:
    return type(value) in (int, float) and abs(cast(float, value)) <= _FARTHEST_M


@functools.lru_cache(maxsize=64)
def _tensors(grid: CylindricalGrid, device: torch.device) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(minimum, maximum, cell size) of a grid, float64 (3,) each. Cached, because a copy to the GPU waits for it."""
    # Tensors created in inference mode could not be used in training later.
    with torch.inference_mode(False):
        minimum, maximum, cell_size = (
            torch.tensor(values, dtype=torch.float64, device=device)
            for values in (grid.minimum, grid.maximum, grid.cell_size)
        )
    return minimum, maximum, cell_size
