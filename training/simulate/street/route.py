"""The line that the street follows, and places along it: (s, d, h).

s metres along the line, d metres to its left, h metres above it.
"""

from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike

from training.simulate.shapes.mesh import Mesh

_Metres = TypeVar("_Metres", float, np.ndarray)

_STEP_M = 1.0
_MARGIN_M = 250.0  # beyond the end, where smoothing changes the line
_LARGEST_CURVATURE = 1 / 32


class Route:
    """A curved line with gentle slopes, drawn from a seed. Lines of one seed and different lengths begin alike."""

    def __init__(self, seed: int, length_m: float, curvature_factor: float = 1.0) -> None:
        knots = np.arange(0, length_m + _MARGIN_M, _STEP_M)
        bends, turns, hills, banks = (
            _smooth_noise(np.random.default_rng([seed, 1, index]), knots, wavelength_m)
            for index, wavelength_m in enumerate((60, 220, 90, 80))
        )
        curvature = (bends * 0.008 + turns * 0.004) * curvature_factor
        curvature = np.clip(curvature, -_LARGEST_CURVATURE, _LARGEST_CURVATURE)
        heading = np.concatenate([[0], np.cumsum(curvature[:-1] * _STEP_M)])
        slope = np.clip(hills * 0.022, -0.07, 0.07)
        self._bank = np.clip(banks * 0.015, -0.04, 0.04)
        self._knots = knots
        self._heading = heading
        self._curvature = curvature
        self._x = np.concatenate([[0], np.cumsum(np.cos(heading[:-1]) * _STEP_M)])
        self._y = np.concatenate([[0], np.cumsum(np.sin(heading[:-1]) * _STEP_M)])
        self._z = np.concatenate([[0], np.cumsum(slope[:-1] * _STEP_M)])
        self._slope = slope

    def heading(self, s: _Metres) -> _Metres:
        """Radians, counter-clockwise from the world's x axis."""
        return np.interp(s, self._knots, self._heading)

    def slope(self, s: _Metres) -> _Metres:
        """Rise for each metre along the line."""
        return np.interp(s, self._knots, self._slope)

    def bank(self, s: _Metres) -> _Metres:
        """Rise for each metre to the left."""
        return np.interp(s, self._knots, self._bank)

    def to_world(self, s: ArrayLike, d: ArrayLike, h: ArrayLike) -> np.ndarray:
        """(..., 3) float64 world coordinates; s, d and h are broadcast."""
        s, d, h = np.broadcast_arrays(*(np.asarray(a, dtype=np.float64) for a in (s, d, h)))
        heading = self.heading(s)
        d = _squeezed(d, np.interp(s, self._knots, self._curvature))
        x = np.interp(s, self._knots, self._x) - d * np.sin(heading)
        y = np.interp(s, self._knots, self._y) + d * np.cos(heading)
        z = np.interp(s, self._knots, self._z) + self.bank(s) * np.clip(d, -30, 30) + h
        return np.stack([x, y, z], axis=-1)

    def placed(self, mesh: Mesh, s: float, d: float, h: float, yaw: float = 0.0) -> Mesh:
        """The mesh moved to (s, d, h) and turned by `yaw` radians against the direction of the street."""
        x, y, z = self.to_world(s, d, h)
        return mesh.moved(x, y, z, yaw + float(self.heading(s)))


def _squeezed(d: np.ndarray, curvature: np.ndarray) -> np.ndarray:
    """Distances to the left, shortened inside a bend so that the surroundings do not overlap at its centre."""
    limit = 0.9 / np.maximum(np.abs(curvature), 1e-6)
    beyond = np.maximum(np.abs(d) / limit - 0.5, 0)
    inside = limit * (np.minimum(np.abs(d) / limit, 0.5) + 0.5 * (1 - np.exp(-2 * beyond)))
    return np.where(d * curvature > 0, np.sign(d) * inside, d)


def _smooth_noise(random: np.random.Generator, knots: np.ndarray, wavelength_m: float) -> np.ndarray:
    """Noise (knots,) with a standard deviation of about 1 that varies over the given wavelength."""
    support = np.arange(0, knots[-1] + 2 * wavelength_m, wavelength_m / 2)
    values = random.standard_normal(len(support))
    fine = np.interp(knots, support, values)
    window = max(3, int(wavelength_m / 2 / _STEP_M))
    kernel = np.hanning(window + 2)[1:-1]
    padded = np.pad(fine, window, mode="edge")
    smooth = np.convolve(padded, kernel / kernel.sum(), mode="same")[window:-window]
    return smooth / 0.6  # smoothing has reduced the standard deviation to about this
