"""A short history of scans, put behind the newest one in its frame by the poses of the sensor.

N points of the newest scan, M of all together.
"""

from collections import deque
from dataclasses import dataclass

import numpy as np

from pvd_core.borders.errors import UserError


@dataclass(frozen=True)
class _Past:
    points: np.ndarray
    pose: np.ndarray
    stamp_s: float


class ScanHistory:
    """The last scans of one sensor that moves. For one thread.

    `num_scans` past scans are kept, every `stride`-th of those that came. The history is dropped, and counted, where
    the pose jumps from one scan to the next by more than `max_jump_m` metres or `max_turn_deg` degrees, and where
    stamps do not rise.
    """

    def __init__(
        self,
        num_scans: int = 2,
        stride: int = 1,
        *,
        with_time: bool = False,
        max_jump_m: float = 10.0,
        max_turn_deg: float = 45.0,
    ) -> None:
        """`with_time`: points get a fifth column, their age. UserError for a value out of its range."""
        check_history(num_scans, stride)
        self.num_scans, self.stride, self.with_time = num_scans, stride, with_time
        self.max_jump_m, self.max_turn_deg = max_jump_m, max_turn_deg
        self.num_dropped_jump = 0
        """Times that the history was dropped because the pose jumped."""
        self.num_dropped_order = 0
        """Times that it was dropped because a stamp was not later than the one before."""
        self._past: deque[_Past] = deque(maxlen=num_scans * stride)
        self._last: _Past | None = None

    def fuse(self, points: np.ndarray, pose: np.ndarray, stamp_s: float | None = None) -> tuple[np.ndarray, np.ndarray]:
        """(points float32 (M, 4), or (M, 5) with time; is_current bool (M,)): the scan's own points first, unchanged
        and in order, then those of the scan before it, and so on. The scan is kept for later calls.

        `points`: float32 (N, 4), x, y, z in metres in the sensor's frame, intensity. `pose`: (4, 4), the sensor's frame
        to one that stands still, finite. `stamp_s`: time in seconds; without it scans are counted. The fifth column is
        the age in the same unit, 0 of the newest.
        """
        pose = np.asarray(pose, dtype=np.float64)
        last = self._last
        scan = _Past(points, pose, stamp_s if stamp_s is not None else (last.stamp_s + 1 if last else 0.0))
        if last is not None and scan.stamp_s <= last.stamp_s:
            self.num_dropped_order += 1
            self._past.clear()
        elif last is not None and is_jump(last.pose, pose, self.max_jump_m, self.max_turn_deg):
            self.num_dropped_jump += 1
            self._past.clear()
        # The newest of them is `stride` scans old.
        chosen = list(self._past)[::-1][self.stride - 1 :: self.stride]
        parts = [points, *(moved(past.points, past.pose, pose) for past in chosen)]
        if self.with_time:
            ages = [0.0, *(scan.stamp_s - past.stamp_s for past in chosen)]
            parts = [_with_column(part, age) for part, age in zip(parts, ages, strict=True)]
        self._last = scan
        self._past.append(scan)
        fused = np.concatenate(parts)
        return fused, np.arange(len(fused)) < len(points)

    def clear(self) -> None:
        """Forgets all scans, as at the start of another drive."""
        self._past.clear()
        self._last = None


def check_history(num_scans: int, stride: int) -> None:
    """UserError unless there may be a history of `num_scans` past scans, every `stride`-th."""
    if not 0 <= num_scans <= 20:
        raise UserError(f"{num_scans} past scans: expected 0 to 20")
    if not 1 <= stride <= 100:
        raise UserError(f"every {stride}-th past scan: expected a stride of 1 to 100")


def moved(points: np.ndarray, pose: np.ndarray, to_pose: np.ndarray) -> np.ndarray:
    """float32 (N, 3 or more): `points` of the sensor's frame at `pose` in its frame at `to_pose`, both (4, 4) float64.
    Columns after x, y, z stay. It is computed in float64, as poses far from their origin need."""
    # Not the transpose: rotations from files have few digits, and are none exactly. The difference of two positions far
    # from the origin loses nothing; their rotated values would.
    inverse = np.linalg.inv(to_pose[:3, :3])
    rotation = inverse @ pose[:3, :3]
    shift = inverse @ (pose[:3, 3] - to_pose[:3, 3])
    result = points.copy()
    result[:, :3] = points[:, :3].astype(np.float64) @ rotation.T + shift
    return result


def is_jump(pose: np.ndarray, next_pose: np.ndarray, max_jump_m: float, max_turn_deg: float) -> bool:
    """Whether two poses, (4, 4) float64, are more than `max_jump_m` or `max_turn_deg` apart."""
    relative = pose[:3, :3].T @ next_pose[:3, :3]
    turn = np.arccos(np.clip((np.trace(relative) - 1) / 2, -1, 1))
    jump_m = np.linalg.norm(next_pose[:3, 3] - pose[:3, 3])
    return bool(jump_m > max_jump_m or np.rad2deg(turn) > max_turn_deg)


def _with_column(points: np.ndarray, value: float) -> np.ndarray:
    return np.column_stack((points, np.full(len(points), value, np.float32)))
