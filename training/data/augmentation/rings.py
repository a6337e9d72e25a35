"""Finds the ring (the beam that measured it) of each of N points, from their order or else from their inclination."""

import numpy as np

_PLAUSIBLE_NUM_RINGS = range(8, 257)
_NUM_ROWS = 64


def azimuths_of(points: np.ndarray) -> np.ndarray:
    """float32 (N,) in radians, 0..2 pi, counter-clockwise from the x axis, of points float32 (N, 3 or more)."""
    return np.arctan2(points[:, 1], points[:, 0]) % np.float32(2 * np.pi)


def inclinations_of(points: np.ndarray) -> np.ndarray:
    """float32 (N,) in radians above the horizon, of points float32 (N, 3 or more)."""
    return np.arctan2(points[:, 2], np.hypot(points[:, 0], points[:, 1]))


def rings_of(points: np.ndarray) -> np.ndarray:
    """int64 (N,): ring of each of points float32 (N, 4) in the sensor's frame, counted from 0.

    SemanticKITTI's files hold one ring after the other, each by azimuth from 0 to 2 pi. So the next ring begins where
    the azimuth falls by more than pi; this finds all 64 rings of its scans. If the number of rings found so is not
    plausible, the points are in another order; then each is given one of 64 rows of equal inclination.
    """
    rings = np.concatenate(([0], np.cumsum(np.diff(azimuths_of(points)) < -np.pi)))
    if rings[-1] + 1 in _PLAUSIBLE_NUM_RINGS:
        return rings
    return _rows(points)


def in_scan_order(points: np.ndarray, rings: np.ndarray) -> np.ndarray:
    """int64 (N,): the indices that sort points float32 (N, 4) by their `rings` (N,), then by azimuth. So `rings_of`
    finds the rings of a scan that was put together from several."""
    return np.argsort(rings + azimuths_of(points) / (2 * np.pi + 1e-3), kind="stable")


def _rows(points: np.ndarray) -> np.ndarray:
    inclinations = inclinations_of(points)
    # Quantiles, since a few stray points far above or below would widen every row.
    lowest, highest = np.quantile(inclinations, (0.005, 0.995))
    share = (inclinations - lowest) / max(highest - lowest, 1e-6)
    return np.clip((share * _NUM_ROWS).astype(np.int64), 0, _NUM_ROWS - 1)
