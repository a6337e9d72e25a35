"""Which beam measured a point, from the order of the points or, failing that, from their inclination. N points."""

import numpy as np

_PLAUSIBLE_NUM_RINGS = range(8, 257)
_NUM_ROWS = 64


def azimuths_of(points):
    """float32 (N,) in 0..2 pi, from the x axis counter-clockwise."""
    return np.arctan2(points[:, 1], points[:, 0]) % np.float32(2 * np.pi)


def inclinations_of(points):
    """float32 (N,) in radians above the horizon."""
    return np.arctan2(points[:, 2], np.hypot(points[:, 0], points[:, 1]))


def rings_of(points):
    """int64 (N,), numbers from 0, of points float32 (N, 4) in the sensor's frame.

    SemanticKITTI's files hold ring after ring, each a turn from azimuth 0 up: a fall by more than half a turn begins
    the next one (all 64 are found in its scans). Where that gives no plausible number of rings, the points are in
    another order; then a ring is one of 64 rows of equal inclination.
    """
    rings = np.concatenate(([0], np.cumsum(np.diff(azimuths_of(points)) < -np.pi)))
    if rings[-1] + 1 in _PLAUSIBLE_NUM_RINGS:
        return rings
    return _rows(points)


def in_scan_order(points, rings):
    """int64 (N,): the order that puts points ring after ring, each by azimuth, so that `rings_of` finds the rings of a
    scan that was put together from others."""
    return np.argsort(rings + azimuths_of(points) / (2 * np.pi + 1e-3), kind="stable")


def _rows(points):
    inclinations = inclinations_of(points)
    # Stray points far above or below would stretch the rows.
    lowest, highest = np.quantile(inclinations, (0.005, 0.995))
    share = (inclinations - lowest) / max(highest - lowest, 1e-6)
    return np.clip((share * _NUM_ROWS).astype(np.int64), 0, _NUM_ROWS - 1)
