"""The Cartesian grid of MinkUNet and SPVCNN: cubes of one size.

As in the official data loader a point belongs to the cube with the nearest centre, and the centres are multiples of the
size. The grid has no bounds: each scan has its own corner, from which networks count the cells of their coarser levels.
P points, V voxels, B scans.
"""

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from pvd_core.borders.errors import TooWideError
from pvd_core.borders.wording import shown
from pvd_core.voxels.batch import PointsInVoxels, VoxelBatch
from pvd_core.voxels.moments import NUM_MOMENTS, moments_of_points
from pvd_core.voxels.occupied import occupied_cells, scan_of_points
from pvd_core.voxels.placed import PlacedPoints
from pvd_core.voxels.reductions import first_of_points, mean_of_points
from pvd_core.voxels.room import cubic_room
from pvd_core.voxels.settings import check_names, check_time, is_number
from pvd_core.voxels.voxeliser import Triple

_SMALLEST_M, _LARGEST_M = 0.01, 10.0

# Numbers of cells must fit int64, those of the cells around the outermost ones too.
_MOST_CELLS = 2**62

# What the coarser levels are counted from.
ORIGINS = ("lowest", "ground")
# What networks get of a cube.
FEATURES = ("first", "moments")
# Cells of a network's coarsest level. Corners at multiples of it, seen from one origin, cut space alike on every level.
_COARSEST = 16
# Of the ground, in cells below and above the sensor.
_HEIGHTS = 512

# Along each axis in programs of fixed shapes: numbers of cells in a box of them fit too. Cubes of 1.25 cm or more reach
# over all measured points, which lie within 10 km.
_FIXED_CELLS = 1_600_000


@dataclass(frozen=True)
class CartesianGrid:
    """Cubes of `voxel_size` metres. `time`: as Voxeliser. Raises ValueError for impossible settings.

    `origin`: what coarser cells are counted from. lowest, as in the official code: the lowest cell of a scan along each
    axis, so that one stray point can move all of them, and with them the labels. ground: the sensor's axis, and the
    height of the lowest quarter of the points.

    `features`: what networks get of a cube. first, as in the official code: its first point. moments: means and
    standard deviations of all its points."""

    kind: ClassVar = "cartesian"

    voxel_size: float = 0.05
    time: bool = False
    origin: str = "lowest"
    features: str = "first"

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> "CartesianGrid":
        """A grid from a dictionary with some or all of its fields; ValueError names the one that does not fit."""
        check_names(cls.kind, cls, settings)
        return cls(**settings)

    def __post_init__(self) -> None:
        size = self.voxel_size
        if not is_number(size) or not _SMALLEST_M <= size <= _LARGEST_M:
            expected = f"a number of metres from {_SMALLEST_M:g} to {_LARGEST_M:g}"
            raise ValueError(f"grid voxel_size is {shown(size)}: expected {expected}")
        object.__setattr__(self, "voxel_size", float(size))
        check_time(self.time)
        if self.origin not in ORIGINS:
            raise ValueError(f"grid origin is {shown(self.origin)}: expected {' or '.join(ORIGINS)}")
        if self.features not in FEATURES:
            raise ValueError(f"grid features is {shown(self.features)}: expected {' or '.join(FEATURES)}")

    @property
    def num_point_features(self) -> int:
        """As Voxeliser: x, y, z, intensity as they came, and so the time."""
        return 5 if self.time else 4

    @property
    def num_voxel_features(self) -> int:
        """Columns of `voxel_features`."""
        return (NUM_MOMENTS if self.features == "moments" else 4) + self.time

    def voxel_features(self, batch: PointsInVoxels) -> torch.Tensor:
        """float32 (V, num_voxel_features), what networks get of each voxel of a batch of this grid: x, y, z and
        intensity of its first point, or the moments of its points; with time, the mean of that comes last."""
        points_PF = batch.point_features_PF
        if self.features == "moments":
            features_VF = moments_of_points(points_PF, batch, _divisor(self.voxel_size, points_PF.device))
        else:
            features_VF = first_of_points(points_PF[:, :4], batch)
        if not self.time:
            return features_VF
        # The first point is mostly of the newest scan. The mean tells where that scan alone saw something, which has
        # come there, from where others did too.
        return torch.cat((features_VF, mean_of_points(points_PF[:, 4:], batch)), dim=1)

    def settings(self) -> dict[str, Any]:
        """As Voxeliser."""
        # What most networks lack is not written: the headers of their weights stay what they were.
        time = {"time": True} if self.time else {}
        origin = {"origin": self.origin} if self.origin != "lowest" else {}
        features = {"features": self.features} if self.features != "first" else {}
        return {"kind": self.kind, "voxel_size": self.voxel_size, **time, **origin, **features}

    def voxelise(self, scans: Sequence[torch.Tensor]) -> VoxelBatch:
        """As Voxeliser; the axes are x, y, z. TooWideError for scans so wide that their cells cannot be numbered."""
        points_PF = torch.cat(tuple(scans)) if len(scans) != 1 else scans[0]
        scan_P = scan_of_points(scans)
        cells_P3 = self._cells(points_PF)
        lowest_B3, shape = self._bounds(cells_P3.split([len(scan) for scan in scans]))
        indices_P3 = cells_P3.long() - lowest_B3.index_select(0, scan_P)
        num_points = tuple(len(scan) for scan in scans)
        return VoxelBatch(points_PF, *occupied_cells(scan_P, indices_P3, shape), num_points, self, shape, lowest_B3)

    def centres(self, batch: VoxelBatch) -> torch.Tensor:
        """As Voxeliser."""
        cells_V3 = batch.coords_V4[:, 1:] + batch.lowest_B3.index_select(0, batch.coords_V4[:, 0])
        return (cells_V3.double() * self.voxel_size).float()

    @property
    def fixed_shape(self) -> Triple:
        """As Voxeliser."""
        return _FIXED_CELLS, _FIXED_CELLS, _FIXED_CELLS

    def place(self, points_P4: torch.Tensor, is_measured_P: torch.Tensor) -> PlacedPoints:
        """As Voxeliser."""
        cells_P3 = self._cells(points_P4)
        lowest_3 = torch.where(is_measured_P[:, None], cells_P3, torch.inf).amin(dim=0)
        lowest_3 = self._corner(torch.where(is_measured_P.any(), lowest_3, 0.0), cells_P3, is_measured_P)
        indices_P3 = (cells_P3 - lowest_3).clamp(min=0, max=_FIXED_CELLS)
        fits = ((indices_P3 < _FIXED_CELLS) | ~is_measured_P[:, None]).all()
        return PlacedPoints(points_P4, indices_P3.long().clamp(max=_FIXED_CELLS - 1), fits)

    def sites_a_point(self, num_points: int, strides: Sequence[Triple]) -> tuple[float, ...]:
        """As Voxeliser."""
        # Of oblong cells the shortest side counts: there are more than of cubes of their volume.
        strides_of_levels = (zip((1, 1, 1), *strides[:level], strict=True) for level in range(len(strides) + 1))
        return cubic_room(num_points, [self.voxel_size * min(map(math.prod, axes)) for axes in strides_of_levels])

    def _cells(self, points_PF: torch.Tensor) -> torch.Tensor:
        """Whole numbers, float32 (P, 3): the multiple of the size that is nearest to each point along each axis; half
        goes to the even one."""
        return torch.round(points_PF[:, :3] / _divisor(self.voxel_size, points_PF.device))

    def _corner(
        self, lowest_3: torch.Tensor, cells_P3: torch.Tensor, is_measured_P: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Whole numbers (3,): the cell of one scan that is number (0, 0, 0), at or below its lowest one."""
        if self.origin == "lowest":
            return lowest_3
        height = _height_of_lowest_quarter(cells_P3[:, 2], is_measured_P)
        return lowest_3 - (lowest_3 - torch.nn.functional.pad(height[None], (2, 0))) % _COARSEST

    def _bounds(self, cells_of_scans: Sequence[torch.Tensor]) -> tuple[torch.Tensor, Triple]:
        """(lowest cell of each scan, int64 (B, 3), 0 for scans without points; cells along each axis that hold any of
        the scans)."""
        empty = cells_of_scans[0].new_zeros(1, 3)
        ends = [torch.aminmax(cells_P3 if len(cells_P3) else empty, dim=0) for cells_P3 in cells_of_scans]
        lowest_B3, highest_B3 = (torch.stack(each).double() for each in zip(*ends, strict=True))
        lowest_B3 = torch.stack(list(map(self._corner, lowest_B3, cells_of_scans)))
        extent_3 = (highest_B3 - lowest_B3 + 1).amax(dim=0)
        farthest = torch.maximum(lowest_B3.abs(), highest_B3.abs()).amax()
        # Copied from a GPU together, because each copy waits for it.
        *extent, farthest_cell = torch.cat((extent_3, farthest[None])).tolist()
        num_cells = len(ends) * math.prod(size + 2 for size in extent)
        if not max(num_cells, farthest_cell) <= _MOST_CELLS:
            extent_m = " x ".join(f"{size * self.voxel_size:.4g}" for size in extent)
            raise TooWideError(
                f"the points extend over {extent_m} m, up to {farthest_cell * self.voxel_size:.4g} m from the sensor: "
                f"voxels of {self.voxel_size:g} m cannot be numbered there; check that the coordinates are metres, "
                "remove the points far away, or take a network of larger voxels"
            )
        x, y, z = map(int, extent)
        return lowest_B3.long(), (x, y, z)


def _height_of_lowest_quarter(heights_P: torch.Tensor, is_measured_P: torch.Tensor | None) -> torch.Tensor:
    """Whole number, int64 (): a quarter of the points lie at this height or below. Counted, because nearly all points
    share a few dozen heights, and so that nothing waits for a GPU."""
    bins_P = heights_P.clamp(-_HEIGHTS, _HEIGHTS - 1).long() + _HEIGHTS
    if is_measured_P is not None:
        bins_P = torch.where(is_measured_P, bins_P, 2 * _HEIGHTS)
    counts = torch.zeros(2 * _HEIGHTS + 1, dtype=torch.int64, device=bins_P.device)
    if bins_P.is_cuda:  # where bincount would wait
        counts.scatter_add_(0, bins_P, torch.ones_like(bins_P))
    else:
        counts += torch.bincount(bins_P, minlength=len(counts))
    sums = counts[:-1].cumsum(0)
    return (4 * sums < sums[-1]).sum() - _HEIGHTS


@functools.lru_cache(maxsize=64)
def _divisor(voxel_size: float, device: torch.device) -> torch.Tensor:
    """The size, float32 (). A GPU would multiply by the reciprocal of a plain number: points between two cells would
    change sides. Cached, because a copy to the GPU waits for it."""
    with torch.inference_mode(False):
        return torch.tensor(voxel_size, dtype=torch.float32, device=device)
