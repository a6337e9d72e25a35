"""How a sensor is mounted, and its clouds in the frame that networks know.

That frame is KITTI's: metres, x forward, y left, z up, level, the origin 1.73 m above the ground.
"""

import math
from dataclasses import dataclass, fields

import numpy as np

from pvd_core.borders.errors import UserError
from pvd_core.clouds.measured import is_measured

NETWORK_HEIGHT_M = 1.73
"""Height of KITTI's sensor above the ground, and of the simulated ones."""

_LIMITS = {"height": 100.0, "roll": 360.0, "pitch": 360.0, "yaw": 360.0}


@dataclass(frozen=True)
class Mounting:
    """Where a cloud's frame stands on the vehicle. UserError for values that are not finite or beyond the limits.

    height: metres of the origin above the ground; 0 for clouds whose z is 0 on the ground. roll, pitch, yaw: degrees,
    as ROS has them: the axes of a level frame (x forward, y left, z up) are turned about x by roll, then about the
    level y by pitch (positive: nose down), then about the upright z by yaw (positive: to the left), and so become the
    cloud's.
    """

    height: float = NETWORK_HEIGHT_M
    roll: float = 0.0
    pitch: float = 0.0
    yaw: float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value, limit = getattr(self, field.name), _LIMITS[field.name]
            if not (math.isfinite(value) and abs(value) <= limit):
                raise UserError(
                    f"mounting {field.name} {value:g}: expected a number from {-limit:g} to {limit:g} "
                    f"({'metres' if field.name == 'height' else 'degrees'})"
                )

    @property
    def is_usual(self) -> bool:
        """Whether clouds are in the network's frame already."""
        return self == Mounting()

    def rotation(self) -> np.ndarray:
        """float64 (3, 3), from the cloud's axes to the network's."""
        roll, pitch, yaw = np.radians((self.roll, self.pitch, self.yaw))
        about_x = np.array([[1, 0, 0], [0, np.cos(roll), -np.sin(roll)], [0, np.sin(roll), np.cos(roll)]])
        about_y = np.array([[np.cos(pitch), 0, np.sin(pitch)], [0, 1, 0], [-np.sin(pitch), 0, np.cos(pitch)]])
        about_z = np.array([[np.cos(yaw), -np.sin(yaw), 0], [np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]])
        return about_z @ about_y @ about_x

    def apply(self, points: np.ndarray) -> np.ndarray:
        """`points`, float32 (N, 4) in the cloud's frame, in the network's: a copy, or `points` themselves where the
        frames are the same. Points that are no measurement stay as they are, and so stay none."""
        if self.is_usual:
            return points
        moved = np.array(points, dtype=np.float32)
        measured_N = is_measured(moved)
        shift = np.array([0, 0, self.height - NETWORK_HEIGHT_M], np.float32)
        moved[measured_N, :3] = moved[measured_N, :3] @ self.rotation().T.astype(np.float32) + shift
        return moved
