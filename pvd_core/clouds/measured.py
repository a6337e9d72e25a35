"""Which points of a cloud are measurements. N points of a cloud, P measured ones."""

import numpy as np

# No spinning LiDAR measures farther, and squares of much larger coordinates overflow float32.
MAX_COORDINATE_M = 1e4


def is_measured(points: np.ndarray) -> np.ndarray:
    """bool (N,) for `points`, float32 (N, 4) or (N, 3): whether x, y, z are finite, within 10 km, and not all exactly
    0, which is what drivers write for "no return"."""
    xyz = points[:, :3]
    # Comparisons with NaN are false.
    return (np.abs(xyz) < MAX_COORDINATE_M).all(axis=1) & (xyz != 0).any(axis=1)


def measured_points(points: np.ndarray, is_measured_N: np.ndarray) -> np.ndarray:
    """A copy of the measured points, float32 (P, 4), with intensities that are not finite set to 0."""
    measured = points[is_measured_N]
    np.nan_to_num(measured[:, 3], copy=False, nan=0.0, posinf=0.0, neginf=0.0)
    return measured
