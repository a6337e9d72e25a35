"""Which points of a cloud are measurements. N points of a cloud, P of them measured."""

import numpy as np

# Beyond this no spinning LiDAR measures; such coordinates would overflow float32 when squared.
MAX_COORDINATE_M = 1e4


def is_measured(points):
    """bool (N,) of `points`, float32 (N, 4) or (N, 3): coordinates are finite and within 10 km, and not all exactly 0,
    which is what drivers write for "no return"."""
    xyz = points[:, :3]
    # NaN fails the comparison as well.
    return (np.abs(xyz) < MAX_COORDINATE_M).all(axis=1) & (xyz != 0).any(axis=1)


def measured_points(points, is_measured_N):
    """The measured points, float32 (P, 4), a copy; intensities that are not finite become 0."""
    measured = points[is_measured_N]
    np.nan_to_num(measured[:, 3], copy=False, nan=0.0, posinf=0.0, neginf=0.0)
    return measured
