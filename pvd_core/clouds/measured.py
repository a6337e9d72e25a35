"""Which points of a cloud are measurements. N points of a cloud, P measured ones."""

from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    import torch

_Array = TypeVar("_Array", np.ndarray, "torch.Tensor")

# No spinning LiDAR measures farther, and squares of much larger coordinates overflow float32.
MAX_COORDINATE_M = 1e4


def is_measured(points: _Array) -> _Array:
    """bool (N,) for `points`, float32 (N, 4) or (N, 3), NumPy or torch: whether x, y, z are finite, within 10 km, and
    not all exactly 0, which is what drivers write for "no return"."""
    # Comparisons with NaN are false. Column by column takes a fifth of the time of reductions over rows of three.
    x, y, z = points[:, 0], points[:, 1], points[:, 2]
    is_near = (abs(x) < MAX_COORDINATE_M) & (abs(y) < MAX_COORDINATE_M) & (abs(z) < MAX_COORDINATE_M)
    return is_near & ((x != 0) | (y != 0) | (z != 0))


def measured_points(points: np.ndarray, is_measured_N: np.ndarray) -> np.ndarray:
    """A copy of the measured points, float32 (P, 4), with intensities that are not finite set to 0."""
    measured = points.copy() if is_measured_N.all() else points[is_measured_N]
    np.nan_to_num(measured[:, 3], copy=False, nan=0.0, posinf=0.0, neginf=0.0)
    return measured
