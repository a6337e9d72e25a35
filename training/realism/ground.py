"""Measures of the ground: its height above the plane of the road, and roughness and slope in cells of a metre."""

import numpy as np

from pvd_core.labels import CLASS_NAMES
from training.realism.families import Family, shares

_GROUND = tuple(CLASS_NAMES.index(name) for name in ("road", "parking", "sidewalk", "other-ground", "terrain"))
_ROAD = CLASS_NAMES.index("road")
_RADIUS_M = 25.0
_ROAD_RADIUS_M = 15.0
_MIN_POINTS_A_CELL = 12
_MIN_CELLS = 10
_NUM_SIDE = 2 * int(_RADIUS_M)


def ground_cells(scan, class_id):
    """(heights, roughness, slopes), each float64 (cells,), of the cells of 1 m with enough points of a class: mean
    height above the road's plane (m), standard deviation of the points about the cell's own plane (m), gradient."""
    empty = (np.empty(0),) * 3
    plane = _road_plane(scan)
    if plane is None:
        return empty
    chosen = (scan.class_ids == class_id) & (np.abs(scan.points[:, :2]) < _RADIUS_M).all(axis=1)
    x, y, z = scan.points[chosen, :3].astype(np.float64).T
    z = z - (plane[0] * x + plane[1] * y + plane[2])
    cell = np.floor(x + _RADIUS_M).astype(np.int64) * _NUM_SIDE + np.floor(y + _RADIUS_M).astype(np.int64)
    total = lambda values: np.bincount(cell, values, minlength=_NUM_SIDE**2)  # noqa: E731
    number = total(np.ones_like(x))
    used = number >= _MIN_POINTS_A_CELL
    if not used.any():
        return empty
    count = np.maximum(number, 1)
    means = [total(values) / count for values in (x, y, z)]
    x, y, z = (values - mean[cell] for values, mean in zip((x, y, z), means, strict=True))
    xx, xy, yy, xz, yz, zz = (total(product)[used] for product in (x * x, x * y, y * y, x * z, y * z, z * z))
    # A little weight keeps cells solvable whose points lie on one line, as those of a single ring do.
    xx, yy = xx + 1e-3, yy + 1e-3
    determinant = xx * yy - xy * xy
    along_x, along_y = (xz * yy - yz * xy) / determinant, (yz * xx - xz * xy) / determinant
    residual = np.maximum(zz - along_x * xz - along_y * yz, 0) / count[used]
    return means[2][used], np.sqrt(residual), np.hypot(along_x, along_y)


def _road_plane(scan):
    """(a, b, c) of z = a x + b y + c through the road near the sensor; None without a road."""
    near = (scan.class_ids == _ROAD) & (np.abs(scan.points[:, :2]) < _ROAD_RADIUS_M).all(axis=1)
    points = scan.points[near, :3].astype(np.float64)
    if len(points) < 200:
        return None
    matrix = np.column_stack((points[:, :2], np.ones(len(points))))
    return np.linalg.lstsq(matrix, points[:, 2], rcond=None)[0]


def _measure(which):
    def measure(scan, edges):
        found = {}
        for class_id in _GROUND:
            values = ground_cells(scan, class_id)[which]
            if len(values) >= _MIN_CELLS:
                counts = np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0]
                found[CLASS_NAMES[class_id]] = shares(counts.astype(np.float64))
        return found

    return measure


GROUND_FAMILIES = (
    Family("ground height", "Height of the ground above the road's plane", "m", np.arange(-1, 2.01, 0.05), _measure(0)),
    Family(
        "roughness",
        "Roughness of the ground within a metre",
        "m",
        np.geomspace(0.002, 0.5, 31),
        _measure(1),
        is_logarithmic=True,
    ),
    Family("ground slope", "Slope of the ground against the road's plane", "", np.arange(0, 0.81, 0.04), _measure(2)),
)
