"""A short history of scans, put behind the newest one in its frame by the poses of the sensor.

N points of the newest scan, M of all together.
"""

from collections import deque
from dataclasses import dataclass

import numpy as np

from pvd_core.borders.errors import UserError
from pvd_core.borders.wording import counted
from pvd_core.clouds.measured import is_measured, measured_points


@dataclass(frozen=True)
class PastScans:
    """Which past scans are put behind each, and whether points carry how old they are."""

    past: int = 0
    """Their number; 0 leaves each scan as it is."""
    stride: int = 1
    """Every n-th of the scans before is taken."""
    time: bool = False
    """Points carry how many scans back they are, 0 those of the scan itself, and networks take it as a feature."""

    def __post_init__(self) -> None:
        if not 0 <= self.past <= 20:
            raise UserError(f"past scans are {self.past}: expected a number of 0 to 20")
        if not 1 <= self.stride <= 100:
            raise UserError(f"the stride of past scans is {self.stride}: expected 1 to 100")
        if self.time and not self.past:
            raise UserError(
                "the time of past scans is wanted, but their number is 0, with which all points are of one time: set "
                "past to 1 or more, say 2, or leave time out"
            )

    @property
    def steps(self) -> range:
        """How many scans back each of them is, newest first."""
        return range(self.stride, self.farthest + 1, self.stride)

    @property
    def farthest(self) -> int:
        """How many scans back the oldest of them is."""
        return self.past * self.stride

    def aged(self, points: np.ndarray, scans_back: int) -> np.ndarray:
        """`points`, float32 (N, 4), of the scan that is `scans_back` back: with time float32 (N, 5), that number as the
        fifth column; else themselves."""
        return np.column_stack((points, np.full(len(points), scans_back, np.float32))) if self.time else points


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


class ScanHistory:
    """The last scans of one sensor that moves. For one thread. Who feeds it clears it where poses no longer belong
    together.

    `past` says which past scans are put behind the newest, of those that came.
    """

    def __init__(self, past: PastScans) -> None:
        self.past = past
        self._past: deque[_Past] = deque(maxlen=past.farthest)

    def fuse(self, points: np.ndarray, pose: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(points float32 (M, 4), or (M, 5) with time, see `PastScans.aged`; is_current bool (M,)): the scan's own
        points first, unchanged and in order, then the measured ones of past scans, newest scan first. The scan is kept
        for later calls.

        `points`: float32 (N, 4), x, y, z in metres in the sensor's frame, intensity. `pose`: (4, 4), the sensor's frame
        to one that stands still, finite.
        """
        pose = np.asarray(pose, dtype=np.float64)
        parts = [self.past.aged(points, 0)]
        for step in self.past.steps:
            if step <= len(self._past):
                past = self._past[-step]
                parts.append(self.past.aged(moved(past.points, past.pose, pose), step))
        self.keep(points, pose)
        fused = np.concatenate(parts)
        return fused, np.arange(len(fused)) < len(points)

    def keep(self, points: np.ndarray, pose: np.ndarray) -> None:
        """Keeps a scan for later calls of `fuse`; arguments are those of it."""
        # Points without a return lie at 0, 0, 0: moved, they would look like measured ones.
        self._past.append(_Past(measured_points(points, is_measured(points)), np.asarray(pose, dtype=np.float64)))

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
