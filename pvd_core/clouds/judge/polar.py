"""Whether the coordinates of a cloud are a range and two angles."""

from itertools import permutations

import numpy as np

_TURNS = (2 * np.pi, 360.0)
_SECTORS, _LEAST_SHARE = 12, 0.03


def is_polar(given: np.ndarray) -> bool:
    """`given` float64 (N, 3), finite: whether one column is a range, one an azimuth that fills the whole turn, and one
    an angle above a plane or below the zenith, in radians or degrees and in any order."""
    low, high = given.min(axis=0), given.max(axis=0)
    for ranges, azimuth, elevation in permutations(range(3)):
        for turn in _TURNS:
            if (
                low[ranges] >= 0
                and high[ranges] > high[elevation]
                and max(-low[elevation], high[elevation]) <= turn / 4
                and 0.95 * turn < high[azimuth] - low[azimuth] <= 1.0001 * turn
                and _fills_turn(given[:, azimuth] - low[azimuth], turn)
            ):
                return True
    return False


def _fills_turn(azimuths: np.ndarray, turn: float) -> bool:
    sectors = np.minimum(azimuths * _SECTORS / turn, _SECTORS - 1).astype(np.int64)
    return bool(np.bincount(sectors, minlength=_SECTORS).min() > _LEAST_SHARE * len(azimuths))
