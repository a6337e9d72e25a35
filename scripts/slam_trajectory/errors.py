"""How far an estimated trajectory is from the true one.

Trajectories are float64 (N, 4, 4), N > 1: the sensor's frame at each cloud to a frame that stands still, in metres.
That frame may be another in either.
"""

from dataclasses import dataclass

import numpy as np

_STRETCH_M = 10.0


@dataclass(frozen=True)
class TrajectoryErrors:
    """What is wrong with one trajectory."""

    path_m: float
    """How long the true way is."""
    ate_m: float
    """Absolute trajectory error: RMS distance of positions, after the best turn and shift."""
    per_10_m_cm: float | None
    """RMS error of the motion over stretches of 10 m; None where the way is shorter."""
    step_mm: float
    """RMS error of the motion from cloud to cloud."""
    drift_percent: float
    """Error of the last position where both trajectories begin alike, of the way's length."""


def errors_of(estimated: np.ndarray, true: np.ndarray) -> TrajectoryErrors:
    """All errors of a trajectory."""
    path_m = float(driven_m(true)[-1])
    each, over_10_m = np.arange(len(true)), _motion_errors_m(estimated, true, *stretches(true, _STRETCH_M))
    return TrajectoryErrors(
        path_m,
        _root_mean_square(np.linalg.norm(aligned(estimated, true) - true[:, :3, 3], axis=1)),
        100 * _root_mean_square(over_10_m) if len(over_10_m) else None,
        1000 * _root_mean_square(_motion_errors_m(estimated, true, each[:-1], each[1:])),
        100 * float(errors_since_start_m(estimated, true)[-1]) / path_m,
    )


def driven_m(true: np.ndarray) -> np.ndarray:
    """float64 (N,): metres driven up to each cloud."""
    steps = np.linalg.norm(np.diff(true[:, :3, 3], axis=0), axis=1)
    return np.concatenate([[0.0], np.cumsum(steps)])


def aligned(estimated: np.ndarray, true: np.ndarray) -> np.ndarray:
    """float64 (N, 3): the estimated positions, turned and shifted, not scaled, to where the sum of squared distances to
    the true ones is smallest (Umeyama 1991, equation 40)."""
    found, wanted = estimated[:, :3, 3], true[:, :3, 3]
    middle, wanted_middle = found.mean(axis=0), wanted.mean(axis=0)
    left, _, right = np.linalg.svd((wanted - wanted_middle).T @ (found - middle))
    mirrors = np.linalg.det(left) * np.linalg.det(right) < 0
    turn = left @ np.diag((1.0, 1.0, -1.0 if mirrors else 1.0)) @ right
    return (found - middle) @ turn.T + wanted_middle


def stretches(true: np.ndarray, length_m: float) -> tuple[np.ndarray, np.ndarray]:
    """(first, last) indices of the clouds of every stretch: from each cloud to the first one that is at least
    `length_m` of the way farther on."""
    driven = driven_m(true)
    ends = np.searchsorted(driven, driven + length_m - 1e-9)
    starts = np.flatnonzero(ends < len(true))
    return starts, ends[starts]


def errors_since_start_m(estimated: np.ndarray, true: np.ndarray) -> np.ndarray:
    """float64 (N,): distance of positions where both trajectories begin alike."""
    each = np.arange(len(true))
    return _motion_errors_m(estimated, true, np.zeros_like(each), each)


def _motion_errors_m(estimated: np.ndarray, true: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """float64 (S,): by how far the estimated and the true motion from start to end lead to different places."""
    found, wanted = (np.linalg.inv(poses[starts]) @ poses[ends] for poses in (estimated, true))
    return np.linalg.norm(found[:, :3, 3] - wanted[:, :3, 3], axis=1)


def _root_mean_square(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values))))
