"""The cylindrical grid of Cylinder3D: radius rho, azimuth phi, height z.

P points, V voxels. Bounds, cell sizes and the clamping of far points are those of the official data loader.
"""

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, cast

import torch

from pvd_core.borders.wording import shown
from pvd_core.native import cells
from pvd_core.voxels.batch import VoxelBatch
from pvd_core.voxels.features import NUM_POINT_FEATURES, point_features
from pvd_core.voxels.occupied import occupied_cells, scan_of_points
from pvd_core.voxels.placed import PlacedPoints
from pvd_core.voxels.rings import ring_borders, ring_centres, ring_growth, ring_numbers
from pvd_core.voxels.room import cylindrical_room
from pvd_core.voxels.settings import check_names, check_time, is_number
from pvd_core.voxels.voxeliser import Triple

RADIAL = ("uniform", "progressive")

# The official code bounds phi by this truncated pi; the borders of cells depend on it.
_PHI_LIMIT = 3.1415926

# Twelve times the official grid, and far more than any LiDAR sees: larger settings are mistakes.
_MOST_CELLS = 2**26
_FARTHEST_M = 10_000.0

_FIRST_CELL_M = 0.05  # of NUC-Net

# No vehicle's LiDAR sees so far below or above the heights of interest. One stray point kilometres away would have
# features thousands of times as large as any in training, in a cell that border points share.
_FARTHEST_OUTSIDE_M = 100.0

# No LiDAR tells millimetres apart, and floats do not tell the borders of far thinner cells apart.
_THINNEST_M = 0.001


@dataclass(frozen=True)
class CylindricalGrid:
    """`shape` cells along (rho, phi, z) over `rho_range` (metres), all azimuths and `z_range` (metres).

    `radial`: uniform, or progressive for rings that grow outwards from a width of `first_cell` metres, which is 0.05
    unless given. Points outside are not dropped: they belong to the nearest border cell. `time`: as Voxeliser. Raises
    ValueError for impossible settings.
    """

    kind: ClassVar = "cylindrical"

    shape: Triple = (480, 360, 32)
    rho_range: tuple[float, float] = (0.0, 50.0)
    z_range: tuple[float, float] = (-4.0, 2.0)
    radial: str = "uniform"
    first_cell: float | None = None
    time: bool = False

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> "CylindricalGrid":
        """A grid from a dictionary with some or all of its fields; ValueError names the one that does not fit."""
        check_names(cls.kind, cls, settings)
        return cls(**settings)

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", _checked_shape(self.shape))
        for name, num_cells in (("rho_range", self.shape[0]), ("z_range", self.shape[2])):
            object.__setattr__(self, name, _checked_range(name, getattr(self, name), num_cells))
        if self.rho_range[0] < 0:
            raise ValueError(f"grid rho_range is {shown(self.rho_range)}: expected radii, from 0 metres on")
        if self.radial not in RADIAL:
            raise ValueError(f"grid radial is {shown(self.radial)}: expected one of {', '.join(RADIAL)}")
        check_time(self.time)
        if self.radial == "uniform":
            if self.first_cell is not None:
                raise ValueError(f"grid first_cell is {shown(self.first_cell)}, but radial is uniform: remove one")
            return
        first = _FIRST_CELL_M if self.first_cell is None else self.first_cell
        if not is_number(first) or not _THINNEST_M <= first <= _FARTHEST_M:
            expected = f"a number of metres from {_THINNEST_M:g} to {_FARTHEST_M:g}"
            raise ValueError(f"grid first_cell is {shown(first)}: expected {expected}")
        object.__setattr__(self, "first_cell", float(first))
        ring_growth(*self._rings)

    def settings(self) -> dict[str, Any]:
        """As Voxeliser."""
        # What most networks lack is not written: the headers of their weights stay what they were.
        fields = {name: value for name, value in asdict(self).items() if value is not None and value is not False}
        return {"kind": self.kind, **fields}

    @property
    def num_point_features(self) -> int:
        """As Voxeliser: those of `point_features`, and the time."""
        return NUM_POINT_FEATURES + self.time

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
        """Size of a cell along (rho, phi, z): metres, radians, metres; along rho only where that is uniform. As in the
        official code it is the range divided by the number of cells minus one, so the last cell of an axis holds only
        points at or beyond the maximum."""
        rho, phi, z = (
            (high - low) / (size - 1) for low, high, size in zip(self.minimum, self.maximum, self.shape, strict=True)
        )
        return rho, phi, z

    def cylindrical(self, points_P3: torch.Tensor) -> torch.Tensor:
        """(rho, phi, z), float32 (P, 3) in metres, radians, metres, of points that begin with x, y, z in metres. z is
        at most 100 metres outside `z_range`."""
        x, y, z = points_P3[:, 0], points_P3[:, 1], points_P3[:, 2]
        z = z.clamp(self.z_range[0] - _FARTHEST_OUTSIDE_M, self.z_range[1] + _FARTHEST_OUTSIDE_M)
        return torch.stack((torch.sqrt(x * x + y * y), torch.atan2(y, x), z), dim=1)

    def indices(self, cylindrical_P3: torch.Tensor) -> torch.Tensor:
        """Index of each point's cell along (rho, phi, z), int64 (P, 3). Computed in float64, because the borders of
        cells must lie exactly where the official code puts them."""
        minimum, maximum, cell = _tensors(self, cylindrical_P3.device)
        position_P3 = cylindrical_P3.double()
        indices_P3 = torch.floor((position_P3.clamp(minimum, maximum) - minimum) / cell).long()
        if self.radial == "progressive":
            indices_P3[:, 0] = ring_numbers(position_P3[:, 0], _borders(self, cylindrical_P3.device))
        return indices_P3

    def cell_centres(self, indices_P3: torch.Tensor) -> torch.Tensor:
        """Centres (rho, phi, z) of the cells with these indices, float64 (P, 3)."""
        minimum, _, cell = _tensors(self, indices_P3.device)
        centres_P3 = (indices_P3.double() + 0.5) * cell + minimum
        if self.radial == "progressive":
            centres_P3[:, 0] = ring_centres(indices_P3[:, 0], _borders(self, indices_P3.device))
        return centres_P3

    def centres(self, batch: VoxelBatch) -> torch.Tensor:
        """As Voxeliser."""
        rho_V, phi_V, z_V = self.cell_centres(batch.coords_V4[:, 1:]).unbind(dim=1)
        return torch.stack((rho_V * torch.cos(phi_V), rho_V * torch.sin(phi_V), z_V), dim=1).float()

    def voxelise(self, scans: Sequence[torch.Tensor]) -> VoxelBatch:
        """As Voxeliser; the axes are rho, phi, z."""
        points_PF = torch.cat(tuple(scans)) if len(scans) != 1 else scans[0]
        points_P4, time_PT = points_PF[:, :4], points_PF[:, 4:]
        num_points, scan_P = tuple(len(scan) for scan in scans), scan_of_points(scans)
        whole = self, self.shape, torch.zeros(len(scans), 3, dtype=torch.int64, device=points_P4.device)
        cylindrical_P3 = self.cylindrical(points_P4)
        if cells.is_usable_for(points_P4) and cells.fits(self.shape):  # with the same result, to the bit
            bounds = self.minimum, self.maximum, self.cell_size
            borders_R = _borders(self, points_P4.device) if self.radial == "progressive" else None
            parts = cells.voxelise(points_P4, cylindrical_P3, scan_P, bounds, self.shape, len(scans), borders_R)
            features_P9, occupied = parts[0], parts[1:]
        else:
            indices_P3 = self.indices(cylindrical_P3)
            features_P9 = point_features(points_P4, cylindrical_P3, self.cell_centres(indices_P3))
            occupied = occupied_cells(scan_P, indices_P3, self.shape)
        features_PF = torch.cat((features_P9, time_PT), dim=1) if self.time else features_P9
        return VoxelBatch(features_PF, *occupied, num_points, *whole)

    @property
    def fixed_shape(self) -> Triple:
        """As Voxeliser."""
        return self.shape

    def place(self, points_P4: torch.Tensor, is_measured_P: torch.Tensor) -> PlacedPoints:
        """As Voxeliser."""
        cylindrical_P3 = self.cylindrical(points_P4)
        indices_P3 = self.indices(cylindrical_P3)
        features_P9 = point_features(points_P4, cylindrical_P3, self.cell_centres(indices_P3))
        return PlacedPoints(features_P9, indices_P3, torch.ones((), dtype=torch.bool, device=points_P4.device))

    def sites_a_point(self, num_points: int, strides: Sequence[Triple]) -> tuple[float, ...]:
        """As Voxeliser."""
        return cylindrical_room(num_points, len(strides) + 1)

    @property
    def _rings(self) -> tuple[int, float, float, float]:
        """The arguments of `ring_borders`, of a progressive grid."""
        return self.shape[0], *self.rho_range, cast(float, self.first_cell)


def _checked_shape(shape: Any) -> Triple:
    if not isinstance(shape, (list, tuple)) or len(shape) != 3 or not all(type(n) is int and n >= 2 for n in shape):
        raise ValueError(f"grid shape is {shown(shape)}: expected a list of three sizes, whole numbers of at least 2")
    if math.prod(shape) > _MOST_CELLS:
        raise ValueError(f"grid shape is {shown(shape)}: expected at most {_MOST_CELLS:,} cells in all")
    rho, phi, z = shape
    return rho, phi, z


def _checked_range(name: str, limits: Any, num_cells: int) -> tuple[float, float]:
    if not isinstance(limits, (list, tuple)) or len(limits) != 2 or not all(map(_is_distance, limits)):
        expected = f"a list of two numbers of metres, up to {_FARTHEST_M:g}"
        raise ValueError(f"grid {name} is {shown(limits)}: expected {expected}")
    low, high = map(float, limits)
    if not low < high:
        raise ValueError(f"grid {name} is {shown(limits)}: the first must be below the second")
    if high - low < num_cells * _THINNEST_M:
        expected = f"cells of {_THINNEST_M:g} m or more"
        raise ValueError(f"grid {name} is {shown(limits)}, {num_cells} cells in all: expected {expected}")
    return low, high


def _is_distance(value: object) -> bool:
    return is_number(value) and abs(value) <= _FARTHEST_M


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


@functools.lru_cache(maxsize=64)
def _borders(grid: CylindricalGrid, device: torch.device) -> torch.Tensor:
    """`ring_borders` of a progressive grid."""
    with torch.inference_mode(False):
        return ring_borders(*grid._rings, device)
