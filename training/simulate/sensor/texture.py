"""Smooth noise fixed to the world: stains, panels and patches that the same surface shows in every scan.

Neighbouring returns of real scans are alike: white noise alone would make each surface flicker from point to point.
"""

import numpy as np

_SIZE = 64
_FINE_M, _COARSE_M = 0.07, 0.9  # cells; patches are about four cells wide


def smooth_noise(places_N3, offset=0):
    """Float32 (N,) with mean 0 and standard deviation 1 at float places in metres; another offset is another noise."""
    return 0.7 * _FIELD[_cells(places_N3, _FINE_M, offset)] + 0.7 * _FIELD[_cells(places_N3, _COARSE_M, offset + 7)]


def smooth_rank(places_N3, offset=0):
    """Like `smooth_noise`, of the finer patches only and uniform in 0..1."""
    return _RANKS[_cells(places_N3, _FINE_M, offset)]


def _cells(places_N3, cell_m, offset):
    cells = np.floor(places_N3 * np.float32(1 / cell_m)).astype(np.int32) + np.int32(offset)
    cells &= _SIZE - 1
    return (cells[:, 0] * _SIZE + cells[:, 1]) * _SIZE + cells[:, 2]


def _smooth_field():
    """Periodic noise of unit deviation, blurred over about two cells, flattened."""
    white = np.random.default_rng(64).standard_normal((_SIZE,) * 3)
    frequency = np.fft.fftfreq(_SIZE)
    squared = frequency[:, None, None] ** 2 + frequency[:, None] ** 2 + frequency**2
    field = np.fft.ifftn(np.fft.fftn(white) * np.exp(-2 * np.pi**2 * squared * 1.5**2)).real
    return (field / field.std()).astype(np.float32).ravel()


_FIELD = _smooth_field()
_RANKS = np.empty(_FIELD.size, dtype=np.float32)
_RANKS[np.argsort(_FIELD, kind="stable")] = (np.arange(_FIELD.size, dtype=np.float32) + 0.5) / _FIELD.size
