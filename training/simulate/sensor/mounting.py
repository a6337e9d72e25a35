"""How a sensor is mounted on its vehicle: height, tilt, and small random errors of both."""

import math
from dataclasses import dataclass

import numpy as np

from pvd_core.borders.errors import UserError
from training.simulate.sensor.sensors import SpinningLidar

_HEIGHTS_M = (0.2, 5.0)
_MOST_TILT_DEG = 30.0
_JITTER_HEIGHT_M, _JITTER_DEG = 0.15, 1.0


@dataclass(frozen=True)
class Mounting:
    """Place and tilt of the sensor on its vehicle."""

    height_m: float
    """Of the sensor's origin above the road."""
    pitch_deg: float = 0.0
    """Positive looks down."""
    roll_deg: float = 0.0


def mounting_of(
    sensor: SpinningLidar, seed: int, height_m: float | None = None, tilt_deg: float = 0.0, jitter: bool = False
) -> Mounting:
    """The Mounting of one drive; `check_mounting` says which are refused.

    height_m: metres above the road, None for the sensor's usual height. tilt_deg: pitch, positive looks down. jitter:
    adds an error drawn from the seed, up to 0.15 m in height and 1 degree in pitch and roll.
    """
    height_m = sensor.height_m if height_m is None else height_m
    check_mounting(height_m, tilt_deg)
    if not jitter:
        return Mounting(height_m, tilt_deg)
    rise, pitch, roll = np.random.default_rng([seed, 10]).uniform(-1, 1, 3)
    height_m = max(_HEIGHTS_M[0], height_m + _JITTER_HEIGHT_M * rise)
    return Mounting(height_m, tilt_deg + _JITTER_DEG * pitch, _JITTER_DEG * roll)


def check_mounting(height_m: float | None, tilt_deg: float) -> None:
    """UserError unless the height (None: the usual one) is 0.2 to 5 m and the tilt at most 30 degrees either way."""
    if height_m is not None and not (math.isfinite(height_m) and _HEIGHTS_M[0] <= height_m <= _HEIGHTS_M[1]):
        raise UserError(
            f"the sensor's height is {height_m} m; expected {_HEIGHTS_M[0]} to {_HEIGHTS_M[1]} m above the road"
        )
    if not (math.isfinite(tilt_deg) and abs(tilt_deg) <= _MOST_TILT_DEG):
        raise UserError(
            f"the sensor's tilt is {tilt_deg} degrees; expected -{_MOST_TILT_DEG:g} (up) to {_MOST_TILT_DEG:g} (down)"
        )
