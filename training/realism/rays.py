"""Measures of the sensor's rays: points per ring, rays without a return, steps between neighbours on a ring.

N points of a scan.
"""

import numpy as np

from training.realism.families import CLASSES, MIN_POINTS, Family, histogram_by_class, shares
from training.realism.scans import MeasuredScan

NUM_RINGS = 64
NUM_COLUMNS = 1024
"""Columns of a range image: half as many as a 64-beam sensor fires rays per turn, so that only missing rays leave
holes."""
_NUM_SECTORS = 36
_RAY_SPACING_RAD = 2 * np.pi / 2083
_RAY_EDGES = np.array([0.5, 1.5, 2.5, 3.5, 4.5, 6.5, 10.5, 20.5, 2083])
_RAY_NAMES = ("1 (none missing)", "2", "3", "4", "5-6", "7-10", "11-20", "more")
# Rays of a 64-beam sensor lie 0.17 degrees apart; below this limit at most one ray between two points is missing.
_NEIGHBOUR_RAD = np.radians(0.4)
_SAME_SURFACE_M = 0.5


def _columns(scan: MeasuredScan) -> np.ndarray:
    """Column of each point in a range image, int64 (N,). Column 0 is backward and the middle is forward; points on the
    left have lower columns than those on the right."""
    clockwise_from_back = (np.pi - scan.azimuths) % (2 * np.pi)
    return np.minimum((clockwise_from_back * (NUM_COLUMNS / (2 * np.pi))).astype(np.int64), NUM_COLUMNS - 1)


def range_image(scan: MeasuredScan, values: np.ndarray, empty: float) -> np.ndarray:
    """`values` (N,) as an image (NUM_RINGS, NUM_COLUMNS) of their dtype, top ring first; `empty` where there is no
    point. Of several points in a cell the nearest counts."""
    image = np.full((NUM_RINGS, NUM_COLUMNS), empty, dtype=np.asarray(values).dtype)
    order = np.argsort(-scan.ranges, kind="stable")
    order = order[scan.rings[order] < NUM_RINGS]
    image[NUM_RINGS - 1 - scan.rings[order], _columns(scan)[order]] = values[order]
    return image


def is_missing(scan: MeasuredScan) -> np.ndarray:
    """bool (NUM_RINGS, NUM_COLUMNS), top ring first: true where no ray came back."""
    return ~range_image(scan, np.ones(len(scan.points), dtype=bool), empty=False)


def _points_per_ring(scan: MeasuredScan, _edges: np.ndarray) -> dict[str, np.ndarray]:
    return {"all": shares(np.bincount(np.minimum(scan.rings, NUM_RINGS - 1), minlength=NUM_RINGS).astype(np.float64))}


def _missing(scan: MeasuredScan, edges: np.ndarray) -> dict[str, np.ndarray]:
    missing = is_missing(scan)
    if len(edges) - 1 == NUM_RINGS:
        return {"by ring": missing[::-1].mean(axis=1)}
    # Sectors are counted counter-clockwise from forward, columns clockwise from backward.
    from_forward = np.roll(missing.mean(axis=0)[::-1], -NUM_COLUMNS // 2)
    parts = np.array_split(from_forward, _NUM_SECTORS)
    return {"by azimuth": np.array([part.mean() for part in parts])}


def _range_steps(scan: MeasuredScan, edges: np.ndarray) -> dict[str, np.ndarray]:
    chosen = _follows_same_class(scan) & (_azimuth_steps_rad(scan) < _NEIGHBOUR_RAD)
    step = np.abs(np.diff(scan.ranges))[chosen] / scan.ranges[1:][chosen]
    return histogram_by_class(step, scan.class_ids[1:][chosen], edges)


def _bends_across_lasers(scan: MeasuredScan, edges: np.ndarray) -> dict[str, np.ndarray]:
    """How much the distance along the ground of three neighbouring lasers in the same direction and class deviates from
    an even slope, in m: nothing on a wall that lasers measure alike."""
    distances = range_image(scan, np.hypot(scan.points[:, 0], scan.points[:, 1]), empty=np.nan)
    classes = range_image(scan, scan.class_ids, empty=0)
    bend = np.abs(np.diff(distances, n=2, axis=0))
    middle = classes[1:-1]
    chosen = (classes[:-2] == middle) & (classes[2:] == middle) & (middle > 0) & (bend < _SAME_SURFACE_M)
    return histogram_by_class(bend[chosen], middle[chosen], edges)


def _intensity_steps(scan: MeasuredScan, edges: np.ndarray) -> dict[str, np.ndarray]:
    chosen = _follows_same_class(scan) & (_azimuth_steps_rad(scan) < _NEIGHBOUR_RAD)
    return histogram_by_class(np.abs(np.diff(scan.points[:, 3]))[chosen], scan.class_ids[1:][chosen], edges)


def _rays_between(scan: MeasuredScan, edges: np.ndarray) -> dict[str, np.ndarray]:
    """Number of rays from each point to the next of the same class on its ring: 1 where no ray is missing between
    them, 2 where one is."""
    chosen = _follows_same_class(scan)
    rays = np.rint(_azimuth_steps_rad(scan)[chosen] / _RAY_SPACING_RAD)
    return histogram_by_class(np.maximum(rays, 1), scan.class_ids[1:][chosen], edges)


def _gains(scan: MeasuredScan, _edges: np.ndarray) -> dict[str, np.ndarray]:
    """Mean intensity of the road on each ring, divided by that of all road, since the lasers of a sensor differ. 1
    where a ring has too little road."""
    road = scan.class_ids == CLASSES.names.index("road")
    rings, intensity = np.minimum(scan.rings[road], NUM_RINGS - 1), scan.points[road, 3]
    count = np.bincount(rings, minlength=NUM_RINGS)
    if len(rings) < MIN_POINTS or not intensity.any():
        return {}
    mean = np.bincount(rings, intensity, minlength=NUM_RINGS) / np.maximum(count, 1)
    return {"road by ring": np.where(count >= MIN_POINTS, mean / intensity.mean(), 1.0)}


def _follows_same_class(scan: MeasuredScan) -> np.ndarray:
    """bool (N - 1,): true where a point has the ring and the class of the point before it."""
    return (np.diff(scan.rings) == 0) & (scan.class_ids[1:] == scan.class_ids[:-1])


def _azimuth_steps_rad(scan: MeasuredScan) -> np.ndarray:
    return np.abs(np.diff(scan.azimuths))


RAY_FAMILIES = (
    Family("points a ring", "Points a ring (0 is the lowest)", "ring", np.arange(NUM_RINGS + 1.0), _points_per_ring),
    Family(
        "missing rays",
        "Rays without an answer, by ring (0 is the lowest)",
        "ring",
        np.arange(NUM_RINGS + 1.0),
        _missing,
        is_distribution=False,
    ),
    Family(
        "missing rays",
        "Rays without an answer, by azimuth (0 is forward, counter-clockwise)",
        "degrees",
        np.linspace(0, 360, _NUM_SECTORS + 1),
        _missing,
        is_distribution=False,
    ),
    Family(
        "range step",
        "Step of range to the next ray of the ring in the same class, relative",
        "",
        np.geomspace(1e-4, 1, 41),
        _range_steps,
        is_logarithmic=True,
    ),
    Family(
        "laser bend",
        "Bend of the distance across three neighbouring lasers in the same class",
        "m",
        np.geomspace(1e-3, _SAME_SURFACE_M, 31),
        _bends_across_lasers,
        is_logarithmic=True,
    ),
    Family(
        "intensity step",
        "Step of intensity to the next ray of the ring in the same class",
        "",
        np.arange(0, 0.401, 0.01),
        _intensity_steps,
    ),
    Family(
        "rays between",
        "Rays to the next point of the ring in the same class",
        "",
        _RAY_EDGES,
        _rays_between,
        categories=_RAY_NAMES,
    ),
    Family(
        "gain",
        "Intensity of the road by ring (0 is the lowest), relative to its mean",
        "ring",
        np.arange(NUM_RINGS + 1.0),
        _gains,
        is_distribution=False,
    ),
)
