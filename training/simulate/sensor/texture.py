"""Smooth noise fixed to the world: stains, panels and patches that a surface shows in every scan.

Neighbouring returns in real scans have similar intensities; white noise would make each surface flicker from point to
point.
"""

import numpy as np

_SIZE = 64
_FINE_M, _COARSE_M = 0.07, 0.9  # size of cells; patches are about four cells wide


def smooth_noise(places_N3: np.ndarray, offset: int = 0) -> np.ndarray:
    """Float32 (N,) with mean 0 and standard deviation about 1. places_N3: float metres, in axes fixed to the world.
    Different offsets give different noise."""
    return 0.7 * _FIELD[_cells(places_N3, _FINE_M, offset)] + 0.7 * _FIELD[_cells(places_N3, _COARSE_M, offset + 7)]


def smooth_rank(places_N3: np.ndarray, offset: int = 0) -> np.ndarray:
    """Float32 (N,), like `smooth_noise` with the fine patches only, and distributed uniformly in 0..1."""
    return _RANKS[_cells(places_N3, _FINE_M, offset)]


def _cells(places_N3: np.ndarray, cell_m: float, offset: int) -> np.ndarray:
    """Index (N,) into the flat field, which repeats in all directions."""
    cells = np.floor(places_N3 * np.float32(1 / cell_m)).astype(np.int32) + np.int32(offset)
    cells &= _SIZE - 1
    return (cells[:, 0] * _SIZE + cells[:, 1]) * _SIZE + cells[:, 2]


def _smooth_field() -> np.ndarray:
    """Periodic noise with standard deviation 1, blurred over about two cells, flattened."""
    white = np.random.default_rng(64).standard_normal((_SIZE,) * 3)
    frequency = np.fft.fftfreq(_SIZE)
    squared = frequency[:, None, None] ** 2 + frequency[:, None] ** 2 + frequency**2
    field = np.fft.ifftn(np.fft.fftn(white) * np.exp(-2 * np.pi**2 * squared * 1.5**2)).real
    return (field / field.std()).astype(np.float32).ravel()


_FIELD = _smooth_field()
_RANKS = np.empty(_FIELD.size, dtype=np.float32)
_RANKS[np.argsort(_FIELD, kind="stable")] = (np.arange(_FIELD.size, dtype=np.float32) + 0.5) / _FIELD.size
