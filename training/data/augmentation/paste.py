"""Pastes objects of a bank onto the ground of a scan. An object keeps its distance from the sensor, so that its point
density is right, and gets another direction, where nothing stands. It hides the points of the scan behind it.

N points of a scan, M of an object.
"""

import numpy as np

from pvd_core.taxonomy import Taxonomy
from training.data.augmentation.geometry import rotated_about_z
from training.data.augmentation.groups import ground_classes, paved_classes
from training.data.augmentation.objects import ObjectBank, SceneObject
from training.data.augmentation.rings import azimuths_of, in_scan_order, inclinations_of, rings_of
from training.data.example import Example

_NUM_TRIES = 15

# Map of the ground around the sensor, seen from above.
_MAP_HALF_M = 60.0
_OBSTACLE_CELL_M = 0.25
_GROUND_CELL_M = 1.0
_MIN_GROUND_SHARE = 0.5

# Range image, to find what an object hides.
_AZIMUTH_STEP = np.deg2rad(0.25)
_INCLINATION_STEP = np.deg2rad(0.5)
_NUM_AZIMUTHS, _NUM_INCLINATIONS = 1440, 360
_MIN_VISIBLE_SHARE = 0.8
_VISIBILITY_MARGIN_M = 0.5


def paste_objects(
    scan: Example, bank: ObjectBank, generator: np.random.Generator, max_objects: int, taxonomy: Taxonomy
) -> Example:
    """`scan` with up to `max_objects` objects of `bank` added; objects for which no place is found are left out.

    Its labels are class ids of `taxonomy`. The result is in scan order (see `in_scan_order`), its new objects have
    numbers of their own; or it is `scan` itself where no object was drawn.
    """
    drawn = [bank.draw(generator) for _ in range(generator.integers(0, max_objects + 1))]
    objects = [item for item in drawn if item is not None]
    if not objects:
        return scan
    ground_map, range_image = _GroundMap(scan.points, scan.labels, taxonomy), _RangeImage(scan.points)
    is_hidden = np.zeros(len(scan), dtype=bool)
    parts: list[Example] = []
    rings: list[np.ndarray] = []
    for item in objects:
        placed = _placed(item, ground_map, range_image, generator)
        if placed is not None:
            is_hidden |= range_image.cover(placed)
            labels = np.full(len(placed), item.class_id, scan.labels.dtype)
            number = scan.highest_instance + len(parts) + 1
            parts.append(Example.of_scan(placed, labels, np.full(len(placed), number)))
            rings.append(item.rings)
    parts.append(scan.chosen(~is_hidden))
    rings.append(rings_of(scan.points)[~is_hidden])
    pasted = Example.joined(parts)
    return pasted.chosen(in_scan_order(pasted.points, np.concatenate(rings)))


def _placed(
    item: SceneObject, ground_map: "_GroundMap", range_image: "_RangeImage", generator: np.random.Generator
) -> np.ndarray | None:
    """The object's points float32 (M, 4), turned to a direction where there is room; None if no try finds one."""
    for angle in generator.uniform(0, 2 * np.pi, _NUM_TRIES):
        points = rotated_about_z(item.points, angle)
        ground_z = ground_map.free_ground_z(points)
        if ground_z is None:
            continue
        points[:, 2] += ground_z - item.ground_z
        if range_image.is_free(points):
            return points
    return None


class _GroundMap:
    """A scan from above: where there is ground to paste on, and where something stands."""

    def __init__(self, points: np.ndarray, labels: np.ndarray, taxonomy: Taxonomy) -> None:
        self._is_obstacle = _map_sums(points[~np.isin(labels, ground_classes(taxonomy))], _OBSTACLE_CELL_M) > 0
        ground = points[np.isin(labels, paved_classes(taxonomy))]
        self._num_ground = _map_sums(ground, _GROUND_CELL_M)
        self._sum_z = _map_sums(ground, _GROUND_CELL_M, weights=ground[:, 2])

    def free_ground_z(self, placed: np.ndarray) -> float | None:
        """Height in metres of the ground under points float32 (M, 4); None where they meet an obstacle or too little
        ground."""
        if self._is_obstacle[_map_cells(placed, _OBSTACLE_CELL_M)].any():
            return None
        cells = np.unique(_map_cells(placed, _GROUND_CELL_M))
        is_ground = self._num_ground[cells] > 0
        if is_ground.mean() < _MIN_GROUND_SHARE:
            return None
        return float(self._sum_z[cells].sum() / self._num_ground[cells].sum())


class _RangeImage:
    """A scan as its sensor sees it: the range of the nearest point in each cell of azimuth and inclination."""

    def __init__(self, points: np.ndarray) -> None:
        self._cells, self._ranges = _direction_cells(points), np.linalg.norm(points[:, :3], axis=1)
        self._nearest = np.full(_NUM_AZIMUTHS * _NUM_INCLINATIONS, np.inf, dtype=np.float32)
        np.minimum.at(self._nearest, self._cells, self._ranges)
        self._is_covered = np.zeros(len(self._nearest), dtype=bool)

    def is_free(self, placed: np.ndarray) -> bool:
        """Whether the sensor would see most of the points float32 (M, 4), and no object was pasted in their
        direction."""
        cells, ranges = _direction_cells(placed), np.linalg.norm(placed[:, :3], axis=1)
        is_visible = self._nearest[cells] > ranges - _VISIBILITY_MARGIN_M
        return bool(is_visible.mean() >= _MIN_VISIBLE_SHARE and not self._is_covered[cells].any())

    def cover(self, placed: np.ndarray) -> np.ndarray:
        """Marks the directions of points float32 (M, 4) as taken; returns bool (N,), true for the points of the scan
        that they hide."""
        nearest = np.full(len(self._nearest), np.inf, dtype=np.float32)
        cells = _direction_cells(placed)
        np.minimum.at(nearest, cells, np.linalg.norm(placed[:, :3], axis=1))
        self._is_covered[cells] = True
        return self._ranges > nearest[self._cells]


def _direction_cells(points: np.ndarray) -> np.ndarray:
    """int64 (N,): the cell of the range image that each point falls into."""
    azimuths = np.minimum((azimuths_of(points) / _AZIMUTH_STEP).astype(np.int64), _NUM_AZIMUTHS - 1)
    inclinations = ((inclinations_of(points) + np.pi / 2) / _INCLINATION_STEP).astype(np.int64)
    return azimuths * _NUM_INCLINATIONS + np.minimum(inclinations, _NUM_INCLINATIONS - 1)


def _map_cells(points: np.ndarray, cell_m: float) -> np.ndarray:
    """int64 (N,): the cell of a map with cells of `cell_m` metres that each point falls into."""
    size = int(2 * _MAP_HALF_M / cell_m)
    xy = np.clip(((points[:, :2] + _MAP_HALF_M) / cell_m).astype(np.int64), 0, size - 1)
    return xy[:, 0] * size + xy[:, 1]


def _map_sums(points: np.ndarray, cell_m: float, weights: np.ndarray | None = None) -> np.ndarray:
    """Number of points in each cell of a map, or the sum of their `weights` (N,)."""
    size = int(2 * _MAP_HALF_M / cell_m)
    return np.bincount(_map_cells(points, cell_m), weights=weights, minlength=size * size)
