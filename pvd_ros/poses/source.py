"""What every source of poses has in common: where the sensor was at a stamp, or why that is not known."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from pvd_core.borders.errors import UserError

ODOMETRY, TRANSFORMS = "nav_msgs/msg/Odometry", "tf2_msgs/msg/TFMessage"
"""Types of the messages that poses come in."""

_MOST_REMARKS = 1000

# Why there is no pose. Of these a late one is worth waiting for.
LATE, STOPPED, GAP, TOO_OLD, NEVER, FRAME = "late", "stopped", "gap", "too_old", "never", "frame"


class NoPoseError(Exception):
    """Where the sensor was at a stamp is not known. `reason` is one of the words above; the message is for people."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class BadPoseError(Exception):
    """A message holds no pose: values that are not finite, or a rotation that is none."""


@dataclass(frozen=True)
class PoseLimits:
    """What a sensor cannot do: a pose that would need more has jumped. UserError for limits of 0 or less."""

    max_speed: float = 60.0
    """Metres a second."""
    max_turn_rate: float = 180.0
    """Degrees a second."""

    def __post_init__(self) -> None:
        for name, value in (("max_speed", self.max_speed), ("max_turn_rate", self.max_turn_rate)):
            if not 0 < value <= 1e6:
                raise UserError(f"{name} is {value:g}: expected more than 0, at most 1e+06")


def say_once(remarks: list[str], sentence: str) -> None:
    """Adds a sentence that is not there yet. There is an end to them, whatever a broken publisher does."""
    if sentence not in remarks and len(remarks) < _MOST_REMARKS:
        remarks.append(sentence)


class PoseSource(Protocol):
    """Poses of the sensor that clouds come from, in a frame that stands still."""

    counters: Counter[str]
    """What was refused or sorted, by name."""
    remarks: list[str]
    """Sentences on what is odd in what came, each once."""

    def pose(self, stamp_ns: int, frame: str) -> np.ndarray:
        """float64 (4, 4): `frame`, that of the cloud, at its stamp to the frame that stands still. NoPoseError where it
        is not known."""

    def jumped_between(self, start_ns: int, end_ns: int, frame: str) -> bool:
        """Whether the poses between two stamps, for which `pose` gave one, do not belong together."""
