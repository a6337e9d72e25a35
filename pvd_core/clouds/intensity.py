"""The factor that brings the intensity of a stream of clouds (a folder, a bag, a topic) to 0..1.

The figures are measured on 33 scans of KITTI and one to ten of each of 11 other sensors, real and simulated.
"""

import math

import numpy as np

from pvd_core.borders.errors import UserError
from pvd_core.clouds.bare import is_constant

AUTO = "auto"
"""The setting with which the clouds themselves tell the factor."""
LARGEST_FACTOR = 1e6

LARGEST_USUAL = 1.5
"""Networks expect 0..1. Rounding and gain calibration exceed 1 a little, sensors that send 0..255 by far."""
USUAL_95TH = 0.4
_LEAST_SHARE, _LARGEST_SHARE = 0.5, 2.5
"""Of KITTI's intensities 95 % are below 0.44 to 0.58. The shipped network labels as well with 0.6 to 1.2 times as much
(five scans: 67 to 69 % right), and much worse with a third or one and a half times (58 and 51). Brought to 0.4, KITTI's
own scans lose nothing (66.5 %, 65.6 as they are), PandaSet's, whose 95th percentile is 0.15, gain much (69.8 %, 51.4).
Between these shares of it nothing is changed, so that a scan in 0..1 has the same labels whatever came before it."""

_MOST_TIMES_USUAL = 10.0
"""A network has seen nothing like brighter points, and what it says of all points around them is noise: with 1e4 at 200
points of a KITTI scan three quarters of its 122,886 labels changed, with 10 times the usual 2 %. PandaSet's brightest,
at 7 times it, still tell signs from walls: with 3 times as the limit its mean IoU fell from 40.4 to 39.9."""
_LARGEST_16_BIT = 65535.0
_ALL_BUT_FEW = 99.5  # percentile
_LEAST_VALUES = 200
_MOST_BELOW_0, _LEAST_NEGATIVE = 0.01, 0.025


def certain_factor(intensity: np.ndarray, usual_95th: float = USUAL_95TH) -> float | None:
    """The factor for raw intensities float32 (N,) of measured points; None where they do not tell it with certainty.
    `usual_95th`: of the intensities that the network knows, 95 % are below about this.

    0 where they cannot be intensities: more than 1 % are negative, as in decibels and signed bytes. Intensities like
    those stay as they are. Others, such as bytes and counts of photons, are scaled by their 95th
    percentile, not their largest: a few mirrors return thousands where everything else returns hundreds.
    """
    values = intensity[np.isfinite(intensity)].astype(np.float64)
    if len(values) < _LEAST_VALUES or is_constant(values):
        return None
    if are_negative(values):
        return 0.0
    # Of a few that are larger yet nothing is to be told: sums of bits, a driver's mark.
    largest, found = (float(each) for each in np.percentile(values, (_ALL_BUT_FEW, 95)))
    if largest <= LARGEST_USUAL and bool((values == np.rint(values)).all()):
        return None  # a byte sensor in the dark sends 0 and 1
    is_like = _LEAST_SHARE * usual_95th <= found <= _LARGEST_SHARE * usual_95th
    if is_like and largest <= LARGEST_USUAL * usual_95th / USUAL_95TH:
        return 1.0
    return usual_factor(values, usual_95th) if found > 0 and largest <= _LARGEST_16_BIT else None


def brightest(usual_95th: float) -> float:
    """The largest intensity that a network should get, of whose own 95 % are below about `usual_95th`; its negative is
    the smallest."""
    return _MOST_TIMES_USUAL * usual_95th


def bounded(points: np.ndarray, limit: float) -> np.ndarray:
    """`points`, float32 (N, 4 or more), with intensities from -`limit` to `limit`: a copy, or themselves where nothing
    is to be changed. Those that are not finite stay."""
    intensity = points[:, 3]
    is_beyond = np.isfinite(intensity) & (abs(intensity) > limit)
    if not is_beyond.any():
        return points
    points = points.copy()
    points[is_beyond, 3] = np.clip(intensity[is_beyond], -limit, limit)
    return points


def are_negative(values: np.ndarray) -> bool:
    """Whether more than 1 % of `values`, float (N,), are clearly below 0, beside the 95th percentile of the others.
    -1 for none among bytes is not."""
    clearly = _LEAST_NEGATIVE * np.percentile(np.maximum(values, 0), 95)
    return bool((values < -clearly).mean() > _MOST_BELOW_0)


def usual_factor(values: np.ndarray, usual_95th: float = USUAL_95TH) -> float:
    """The factor that brings the 95th percentile of finite intensities (N,) to `usual_95th`; 1 where that is 0."""
    found = float(np.percentile(values, 95))
    return float(f"{usual_95th / found:.4g}") if found > 0 else 1.0


class IntensityScale:
    """`factor` is that of a stream: the one that was set; with AUTO what its first cloud tells with certainty, kept for
    the rest, and 1 until then."""

    def __init__(self, setting: float | str = AUTO, usual_95th: float = USUAL_95TH) -> None:
        """UserError for a `setting` that is neither AUTO nor a number from 0 to a million. `usual_95th`: as
        `certain_factor` takes it."""
        self._usual_95th = usual_95th
        self.is_decided = setting != AUTO
        self.factor = _number(setting) if self.is_decided else 1.0

    def look_at(self, intensity: np.ndarray, is_other_quantity: bool = False) -> bool:
        """Decides if that is still to be done and the raw intensities (N,) of measured points allow it; 0 if they are
        no intensities, which `is_other_quantity` tells too. Returns whether it has set a factor other than 1 just
        now."""
        if self.is_decided:
            return False
        factor = 0.0 if is_other_quantity else certain_factor(intensity, self._usual_95th)
        self.is_decided = factor is not None
        self.factor = 1.0 if factor is None else factor
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
