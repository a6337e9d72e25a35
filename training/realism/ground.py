"""Measures of the ground in cells of 1 m: height above the plane of the road, roughness and slope."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from training.realism.families import CLASSES, Family, shares

if TYPE_CHECKING:
    from training.realism.scans import MeasuredScan

_GROUND = tuple(CLASSES.names.index(name) for name in ("road", "parking", "sidewalk", "other-ground", "terrain"))
_ROAD = CLASSES.names.index("road")
_RADIUS_M = 25.0
_ROAD_RADIUS_M = 15.0
_MIN_ROAD_POINTS = 200
_MIN_POINTS_A_CELL = 12
_MIN_CELLS = 10
_NUM_SIDE = 2 * int(_RADIUS_M)


def ground_cells(points: np.ndarray, class_ids: np.ndarray) -> dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """{class id of a ground class: (heights, roughness, slopes)}, each float64 (cells,), of the cells of 1 m near the
    sensor with enough points of the class. Height: mean above the plane of the road, in m. Roughness: standard
    deviation of the points about a plane fitted to the cell, in m. Slope: gradient of the cell's plane relative to the
    plane of the road. Empty if too little road is near.

    points float32 (N, 4) in the sensor's frame; class_ids uint8 (N,).
    """
    near = np.flatnonzero(np.maximum(np.abs(points[:, 0]), np.abs(points[:, 1])) < _RADIUS_M)
    points, class_ids = points[near, :3].astype(np.float64), class_ids[near]
    plane = _road_plane(points[class_ids == _ROAD])
    if plane is None:
        return {}
    points[:, 2] -= points[:, :2] @ plane[:2] + plane[2]
    return {class_id: _cells(points[class_ids == class_id]) for class_id in _GROUND}


def _cells(points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    x, y, z = points.T
    cell = np.floor(x + _RADIUS_M).astype(np.int64) * _NUM_SIDE + np.floor(y + _RADIUS_M).astype(np.int64)

    def total(values: np.ndarray) -> np.ndarray:
        return np.bincount(cell, values, minlength=_NUM_SIDE**2)

    number: np.ndarray = total(np.ones_like(x))
    used = number >= _MIN_POINTS_A_CELL
    count = np.maximum(number, 1)
    means = [total(values) / count for values in (x, y, z)]
    x, y, z = (values - mean[cell] for values, mean in zip((x, y, z), means, strict=True))
    xx, xy, yy, xz, yz, zz = (total(product)[used] for product in (x * x, x * y, y * y, x * z, y * z, z * z))
    # Regularises cells whose points lie on one line, such as those of a single ring.
    xx, yy = xx + 1e-3, yy + 1e-3
    determinant = xx * yy - xy * xy
    along_x, along_y = (xz * yy - yz * xy) / determinant, (yz * xx - xz * xy) / determinant
    residual = np.maximum(zz - along_x * xz - along_y * yz, 0) / count[used]
    return means[2][used], np.sqrt(residual), np.hypot(along_x, along_y)


def _road_plane(road: np.ndarray) -> np.ndarray | None:
    """(a, b, c) of z = a x + b y + c through the road near the sensor; None if it has too few points."""
    road = road[np.maximum(np.abs(road[:, 0]), np.abs(road[:, 1])) < _ROAD_RADIUS_M]
    if len(road) < _MIN_ROAD_POINTS:
        return None
    matrix = np.column_stack((road[:, :2], np.ones(len(road))))
    return np.linalg.lstsq(matrix, road[:, 2], rcond=None)[0]


def _measure(which: int) -> Callable[["MeasuredScan", np.ndarray], dict[str, np.ndarray]]:
    """A Family's `measure` of heights (0), roughness (1) or slopes (2)."""

    def measure(scan: "MeasuredScan", edges: np.ndarray) -> dict[str, np.ndarray]:
        found = {}
        for class_id, cells in scan.ground_cells.items():
            if len(cells[which]) >= _MIN_CELLS:
                counts = np.histogram(np.clip(cells[which], edges[0], edges[-1]), edges)[0]
                found[CLASSES.names[class_id]] = shares(counts.astype(np.float64))
        return found

    return measure


GROUND_FAMILIES = (
    Family("ground height", "Height of the ground above the road's plane", "m", np.arange(-1, 2.01, 0.05), _measure(0)),
    Family(
        "roughness",
        "Roughness of the ground within a metre",
        "m",
        np.geomspace(0.0005, 0.5, 37),
        _measure(1),
        is_logarithmic=True,
    ),
    Family("ground slope", "Slope of the ground against the road's plane", "", np.arange(0, 0.81, 0.04), _measure(2)),
)
