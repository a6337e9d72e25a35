"""How a sensor sits on its vehicle: height, tilt, and how far a car's mount differs from the drawing."""

import math
from dataclasses import dataclass

import numpy as np

from pvd_core.borders.errors import UserError

_HEIGHTS_M = (0.2, 5.0)
_MOST_TILT_DEG = 30.0
_JITTER_HEIGHT_M, _JITTER_DEG = 0.15, 1.0


@dataclass(frozen=True)
class Mounting:
    height_m: float
    """Of the sensor's origin above the road."""
    pitch_deg: float = 0.0
    """Positive looks down."""
    roll_deg: float = 0.0


def mounting_of(sensor, seed, height_m=None, tilt_deg=0.0, jitter=False):
    """The Mounting of one drive. None: the sensor's usual height. `jitter`: up to 0.15 m and 1 degree off, by seed."""
    height_m = sensor.height_m if height_m is None else height_m
    check_mounting(height_m, tilt_deg)
    if not jitter:
        return Mounting(height_m, tilt_deg)
    rise, pitch, roll = np.random.default_rng([seed, 10]).uniform(-1, 1, 3)
    height_m = max(_HEIGHTS_M[0], height_m + _JITTER_HEIGHT_M * rise)
    return Mounting(height_m, tilt_deg + _JITTER_DEG * pitch, _JITTER_DEG * roll)


def check_mounting(height_m, tilt_deg):
    if height_m is not None and not (math.isfinite(height_m) and _HEIGHTS_M[0] <= height_m <= _HEIGHTS_M[1]):
        raise UserError(
            f"the sensor's height is {height_m} m; expected {_HEIGHTS_M[0]} to {_HEIGHTS_M[1]} m above the road"
        )
    if not (math.isfinite(tilt_deg) and abs(tilt_deg) <= _MOST_TILT_DEG):
        raise UserError(
            f"the sensor's tilt is {tilt_deg} degrees; expected -{_MOST_TILT_DEG:g} (up) to {_MOST_TILT_DEG:g} (down)"
        )
