"""Measures of the sensor's rays: points a ring, rays without an answer, steps between neighbours on a ring."""

import numpy as np

from training.realism.families import Family, histogram_by_class, shares

NUM_RINGS = 64
NUM_COLUMNS = 1024
"""Columns of a range image: half as many as a 64-beam sensor fires rays a turn, so that only missing rays leave
holes."""
_NUM_SECTORS = 36
# Rays of a 64-beam sensor lie 0.17 degrees apart; twice that still has no third ray between.
_NEIGHBOUR_RAD = np.radians(0.4)


def columns(scan):
    """Column of each point in a range image, int64 (N,): 0 is behind, the middle forward, left before right."""
    turned = (np.pi - scan.azimuths) % (2 * np.pi)
    return np.minimum((turned * (NUM_COLUMNS / (2 * np.pi))).astype(np.int64), NUM_COLUMNS - 1)


def range_image(scan, values, empty):
    """(NUM_RINGS, NUM_COLUMNS) of `values` (N,), top ring first; `empty` where there is no point. Of several points
    in a cell the nearest counts."""
    image = np.full((NUM_RINGS, NUM_COLUMNS), empty, dtype=np.asarray(values).dtype)
    order = np.argsort(-scan.ranges, kind="stable")
    order = order[scan.rings[order] < NUM_RINGS]
    image[NUM_RINGS - 1 - scan.rings[order], columns(scan)[order]] = values[order]
    return image


def is_missing(scan):
    """True (NUM_RINGS, NUM_COLUMNS), top ring first, where no ray came back."""
    return ~range_image(scan, np.ones(len(scan.points), dtype=bool), empty=False)


def _points_a_ring(scan, _edges):
    return {"all": shares(np.bincount(np.minimum(scan.rings, NUM_RINGS - 1), minlength=NUM_RINGS).astype(np.float64))}


def _missing(scan, edges):
    missing = is_missing(scan)
    if len(edges) - 1 == NUM_RINGS:
        return {"by ring": missing[::-1].mean(axis=1)}
    # Sectors count counter-clockwise from forward; columns run the other way, from behind.
    turned = np.roll(missing.mean(axis=0)[::-1], -NUM_COLUMNS // 2)
    parts = np.array_split(turned, _NUM_SECTORS)
    return {"by azimuth": np.array([part.mean() for part in parts])}


def _steps(scan, edges):
    same_ring = scan.rings[1:] == scan.rings[:-1]
    near = np.abs(scan.azimuths[1:] - scan.azimuths[:-1]) < _NEIGHBOUR_RAD
    chosen = same_ring & near & (scan.class_ids[1:] == scan.class_ids[:-1])
    step = np.abs(scan.ranges[1:] - scan.ranges[:-1])[chosen] / scan.ranges[1:][chosen]
    return histogram_by_class(step, scan.class_ids[1:][chosen], edges)


RAY_FAMILIES = (
    Family("points a ring", "Points a ring (0 is the lowest)", "ring", np.arange(NUM_RINGS + 1.0), _points_a_ring),
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
        _steps,
        is_logarithmic=True,
    ),
)
