"""Objects of a bank pasted onto the ground of a scan, at the distance from which they were seen (so that their density
is right), in another direction, where nothing stands, and with the shadow that they cast."""

import numpy as np

from training.data.augmentation.geometry import rotated_about_z
from training.data.augmentation.objects import GROUND_CLASSES
from training.data.augmentation.rings import azimuths_of, in_scan_order, inclinations_of, rings_of

_NUM_TRIES = 15
_PASTE_ON = (9, 10, 11)  # road, parking, sidewalk

# Map of the ground plan around the sensor.
_MAP_HALF_M = 60.0
_OBSTACLE_CELL_M = 0.25
_GROUND_CELL_M = 1.0
_MIN_GROUND_SHARE = 0.5

# View of the sensor, to find what an object hides.
_AZIMUTH_STEP = np.deg2rad(0.25)
_INCLINATION_STEP = np.deg2rad(0.5)
_NUM_AZIMUTHS, _NUM_INCLINATIONS = 1440, 360
_MIN_SEEN_SHARE = 0.8
_IN_FRONT_M = 0.5


def paste_objects(scan, bank, generator, max_objects):
    """`scan`, (points float32 (N, 4), labels (N,)), with 0 to `max_objects` objects more; in scan order if any."""
    drawn = [bank.draw(generator) for _ in range(generator.integers(0, max_objects + 1))]
    objects = [item for item in drawn if item is not None]
    if not objects:
        return scan
    points, labels = scan
    ground_plan, view = GroundPlan(points, labels), View(points)
    is_hidden, parts = np.zeros(len(points), dtype=bool), []
    for item in objects:
        placed = _placed(item, ground_plan, view, generator)
        if placed is not None:
            is_hidden |= view.cover(placed)
            parts.append((placed, np.full(len(placed), item.class_id, labels.dtype), item.rings))
    parts.append((points[~is_hidden], labels[~is_hidden], rings_of(points)[~is_hidden]))
    points, labels, rings = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    order = in_scan_order(points, rings)
    return points[order], labels[order]


def _placed(item, ground_plan, view, generator):
    """The object's points where there is room for them; None where no try finds any."""
    for angle in generator.uniform(0, 2 * np.pi, _NUM_TRIES):
        points = rotated_about_z(item.points, angle)
        ground_z = ground_plan.free_ground_z(points)
        if ground_z is None:
            continue
        points[:, 2] += ground_z - item.ground_z
        if view.is_free(points):
            return points
    return None


class GroundPlan:
    """Where a scan shows ground to paste on, and where something stands."""

    def __init__(self, points, labels):
        self._is_obstacle = _table(points[~np.isin(labels, GROUND_CLASSES)], _OBSTACLE_CELL_M) > 0
        ground = points[np.isin(labels, _PASTE_ON)]
        self._num_ground = _table(ground, _GROUND_CELL_M)
        self._sum_z = _table(ground, _GROUND_CELL_M, weights=ground[:, 2])

    def free_ground_z(self, placed):
        """Height of the ground under points float32 (N, 4); None where they meet an obstacle or too little ground."""
        if self._is_obstacle[_cells(placed, _OBSTACLE_CELL_M)].any():
            return None
        cells = np.unique(_cells(placed, _GROUND_CELL_M))
        is_ground = self._num_ground[cells] > 0
        if is_ground.mean() < _MIN_GROUND_SHARE:
            return None
        return float(self._sum_z[cells].sum() / self._num_ground[cells].sum())


class View:
    """A scan as its sensor sees it: directions in cells, and the distance of each point."""

    def __init__(self, points):
        self._cells, self._ranges = _directions(points), np.linalg.norm(points[:, :3], axis=1)
        self._nearest = np.full(_NUM_AZIMUTHS * _NUM_INCLINATIONS, np.inf, dtype=np.float32)
        np.minimum.at(self._nearest, self._cells, self._ranges)
        self._is_covered = np.zeros(len(self._nearest), dtype=bool)

    def is_free(self, placed):
        """Whether the sensor would see points float32 (N, 4): little stands before them, none are pasted there yet."""
        cells, ranges = _directions(placed), np.linalg.norm(placed[:, :3], axis=1)
        is_seen = self._nearest[cells] > ranges - _IN_FRONT_M
        return is_seen.mean() >= _MIN_SEEN_SHARE and not self._is_covered[cells].any()

    def cover(self, placed):
        """bool: the scan's points that `placed` hides from now on."""
        nearest = np.full(len(self._nearest), np.inf, dtype=np.float32)
        cells = _directions(placed)
        np.minimum.at(nearest, cells, np.linalg.norm(placed[:, :3], axis=1))
        self._is_covered[cells] = True
        return self._ranges > nearest[self._cells]


def _directions(points):
    azimuths = np.minimum((azimuths_of(points) / _AZIMUTH_STEP).astype(np.int64), _NUM_AZIMUTHS - 1)
    inclinations = ((inclinations_of(points) + np.pi / 2) / _INCLINATION_STEP).astype(np.int64)
    return azimuths * _NUM_INCLINATIONS + np.minimum(inclinations, _NUM_INCLINATIONS - 1)


def _cells(points, cell_m):
    size = int(2 * _MAP_HALF_M / cell_m)
    xy = np.clip(((points[:, :2] + _MAP_HALF_M) / cell_m).astype(np.int64), 0, size - 1)
    return xy[:, 0] * size + xy[:, 1]


def _table(points, cell_m, weights=None):
    size = int(2 * _MAP_HALF_M / cell_m)
    return np.bincount(_cells(points, cell_m), weights=weights, minlength=size * size)
