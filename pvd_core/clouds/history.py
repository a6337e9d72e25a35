"""A short history of scans, put behind the newest one in its frame by the poses of the sensor.

N points of the newest scan, M of all together.
"""

from collections import deque
from dataclasses import dataclass, replace

import numpy as np

from pvd_core.borders.errors import UserError
from pvd_core.borders.wording import counted
from pvd_core.clouds.measured import is_measured, measured_points


@dataclass(frozen=True)
class PastScans:
    """Which past scans are put behind each."""

    past: int = 0
    """Their number; 0 leaves each scan as it is."""
    stride: int = 1
    """Every n-th of the scans before is taken."""

    def __post_init__(self) -> None:
        if not 0 <= self.past <= 20:
            raise UserError(f"past scans are {self.past}: expected a number of 0 to 20")
        if not 1 <= self.stride <= 100:
            raise UserError(f"the stride of past scans is {self.stride}: expected 1 to 100")

    @property
    def steps(self) -> range:
        """How many scans back each of them is, newest first."""
        return range(self.stride, self.past * self.stride + 1, self.stride)


def single_remark(past: PastScans) -> str:
    """A sentence for who labels scans singly with weights that expect `past` behind each; "" where they expect none."""
    if not past.past:
        return ""
    return (
        f"these weights expect {counted(past.past, 'past scan')} behind each and get single ones: labels are worse, "
        "and moving objects can hardly be told from still ones"
    )


@dataclass(frozen=True)
class _Past:
    points: np.ndarray
    pose: np.ndarray
    stamp_s: float


class ScanHistory:
    """The last scans of one sensor that moves. For one thread. Who feeds it clears it where poses no longer belong
    together.

    `past` says which past scans are put behind the newest, of those that came.
    """

    def __init__(self, past: PastScans, *, with_time: bool = False) -> None:
        """`with_time`: points get a fifth column, their age."""
        self.past, self.with_time = past, with_time
        self._past: deque[_Past] = deque(maxlen=past.past * past.stride)
        self._last_s = 0.0

    def fuse(self, points: np.ndarray, pose: np.ndarray, stamp_s: float | None = None) -> tuple[np.ndarray, np.ndarray]:
        """(points float32 (M, 4), or (M, 5) with time; is_current bool (M,)): the scan's own points first, unchanged
        and in order, then the measured ones of past scans, newest scan first. The scan is kept for later calls.

        `points`: float32 (N, 4), x, y, z in metres in the sensor's frame, intensity. `pose`: (4, 4), the sensor's frame
        to one that stands still, finite. `stamp_s`: time in seconds; without it scans are counted. The fifth column is
        the age in the same unit, 0 of the newest.
        """
        pose = np.asarray(pose, dtype=np.float64)
        scan = _Past(points, pose, self._last_s + 1 if stamp_s is None else stamp_s)
        chosen = [self._past[-step] for step in self.past.steps if step <= len(self._past)]
        parts = [points, *(moved(past.points, past.pose, pose) for past in chosen)]
        if self.with_time:
            ages = [0.0, *(scan.stamp_s - past.stamp_s for past in chosen)]
            parts = [_with_column(part, age) for part, age in zip(parts, ages, strict=True)]
        self._last_s = scan.stamp_s
        # Points without a return lie at 0, 0, 0: moved, they would look like measured ones.
        self._past.append(replace(scan, points=measured_points(points, is_measured(points))))
        fused = np.concatenate(parts)
        return fused, np.arange(len(fused)) < len(points)

    def clear(self) -> None:
        """Forgets all scans, as at the start of another drive."""
        self._past.clear()


def moved(points: np.ndarray, pose: np.ndarray, to_pose: np.ndarray) -> np.ndarray:
    """float32 (N, 3 or more): `points` of the sensor's frame at `pose` in its frame at `to_pose`, both (4, 4) float64.
    Columns after x, y, z stay. It is computed in float64, as poses far from their origin need."""
    # Not the transpose: rotations from files have few digits, and are none exactly. The difference of two positions far
    # from the origin loses nothing; their rotated values would.
    inverse = np.linalg.inv(to_pose[:3, :3])
    rotation = inverse @ pose[:3, :3]
    shift = inverse @ (pose[:3, 3] - to_pose[:3, 3])
    result = points.copy()
    # Column by column: a product of so narrow matrices takes ten times as long, and wakes all threads of BLAS.
    x, y, z = (points[:, axis].astype(np.float64) for axis in range(3))
    for axis in range(3):
        result[:, axis] = x * rotation[axis, 0] + y * rotation[axis, 1] + z * rotation[axis, 2] + shift[axis]
    return result


def is_jump(pose: np.ndarray, next_pose: np.ndarray, max_jump_m: float, max_turn_deg: float) -> bool:
    """Whether two poses, (4, 4) float64, are more than `max_jump_m` or `max_turn_deg` apart."""
    relative = pose[:3, :3].T @ next_pose[:3, :3]
    turn = np.arccos(np.clip((np.trace(relative) - 1) / 2, -1, 1))
    jump_m = np.linalg.norm(next_pose[:3, 3] - pose[:3, 3])
    return bool(jump_m > max_jump_m or np.rad2deg(turn) > max_turn_deg)


def _with_column(points: np.ndarray, value: float) -> np.ndarray:
    return np.column_stack((points, np.full(len(points), value, np.float32)))
