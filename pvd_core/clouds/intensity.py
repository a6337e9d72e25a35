"""The factor that brings the intensity of a stream of clouds (a folder, a bag, a topic) to 0..1.

The figures are measured on 33 scans of KITTI and one to ten of each of 11 other sensors, real and simulated.
"""

import math

import numpy as np

from pvd_core.borders.errors import UserError

AUTO = "auto"
"""The setting with which the clouds themselves tell the factor."""
LARGEST_FACTOR = 1e6

LARGEST_USUAL = 1.5
"""Networks expect 0..1. Rounding and gain calibration exceed 1 a little, sensors that send 0..255 by far."""
USUAL_95TH = 0.4
"""Of KITTI's intensities 95 % are below 0.44 to 0.54. The shipped network labels as well with half of that, and much
worse with a third of it or with one and a half times (five scans: 67 %, 58 and 51), so the aim is a little below."""

_LARGEST_BYTE, _LARGEST_16_BIT = 255.0, 65535.0
# The brightest of a scan of any byte sensor is at least 114; a largest value above this is a byte's even where a
# conversion made fractions of it, below it may be anything.
_LEAST_BRIGHT_BYTE = 200.0
_LEAST_VALUES = 200


def certain_factor(intensity: np.ndarray) -> float | None:
    """The factor for raw intensities float32 (N,) of measured points; None where they do not tell it with certainty.

    0..1 stays as it is. Whole numbers up to 255 are bytes. Whole numbers up to 65535 are counts of photons: a few
    mirrors return thousands where everything else returns hundreds, so the 95th percentile is brought to KITTI's, not
    the largest to 1.
    """
    values = intensity[np.isfinite(intensity)].astype(np.float64)
    if len(values) < _LEAST_VALUES or values.min() < 0 or values.max() == values.min():
        return None
    largest = float(values.max())
    are_whole = bool((np.abs(values - np.rint(values)) < 0.01).all())
    if largest <= LARGEST_USUAL:
        return None if are_whole else 1.0  # a byte sensor in the dark sends 0 and 1
    if largest <= _LARGEST_BYTE + 0.5:
        return 1 / _LARGEST_BYTE if are_whole or largest > _LEAST_BRIGHT_BYTE else None
    return counts_factor(values) if are_whole and largest <= _LARGEST_16_BIT else None


def counts_factor(values: np.ndarray) -> float:
    """The factor for finite intensities float32 (N,) in a scale that is not known; 1 where they are all 0."""
    usual = float(np.percentile(values, 95))
    return float(f"{USUAL_95TH / usual:.4g}") if usual > 0 else 1.0


class IntensityScale:
    """`factor` is that of a stream: the one that was set; with AUTO what its first cloud tells with certainty, kept for
    the rest, and 1 until then."""

    def __init__(self, setting: float | str = AUTO) -> None:
        """UserError for a `setting` that is neither AUTO nor a number from 0 to a million."""
        self.is_decided = setting != AUTO
        self.factor = _number(setting) if self.is_decided else 1.0

    def look_at(self, intensity: np.ndarray) -> bool:
        """Decides if that is still to be done and the raw intensities (N,) of measured points allow it. Returns whether
        it has set a factor other than 1 just now."""
        if self.is_decided:
            return False
        factor = certain_factor(intensity)
        self.is_decided = factor is not None
        self.factor = factor or 1.0
        return self.factor != 1.0


def check_intensity_scale(setting: float | str) -> None:
    """UserError for a setting that IntensityScale does not take."""
    IntensityScale(setting)


def _number(setting: float | str) -> float:
    try:
        factor = float(setting)
    except ValueError:
        factor = math.nan
    if isinstance(setting, bool) or not 0 <= factor <= LARGEST_FACTOR:
        raise UserError(
            f"intensity scale {setting!r}: expected {AUTO} or a number from 0 to {LARGEST_FACTOR:g}, such as "
            "0.00392157 (1/255) for 0..255"
        )
    return factor
