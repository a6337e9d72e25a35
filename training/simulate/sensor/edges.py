"""Effects of a beam's width. At an edge a beam may return the surface in front, the one behind, or a range in between;
beside a retro-reflector it may return the reflector that it points past.

Works on the sensor's grid (rings, azimuths): each beam gets the grid index of the beam whose surface it reports.
Shape suffixes: `R` rings, `A` azimuths.
"""

from collections.abc import Iterator

import numpy as np

from training.simulate.sensor.materials import material_column

_IS_RETRO = material_column("is_retro", bool)
_EDGE_M = 0.15
_PULSE_M = 0.9  # two surfaces closer than this merge into one return
_SWAP_SHARE = 0.2
_NOWHERE_M = 1e4
_BLOOM_SHARE = 0.45
_BLOOM_REACH_M = 45.0
_STRAY_SHARE = 1e-4


def reported_surfaces(
    ranges_RA: np.ndarray, materials_RA: np.ndarray, overlap_share: float, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(source int64, blend float32, is_bloomed bool, is_stray bool), each (R * A,), ring after ring.

    source: index of the beam whose surface is reported. blend: metres to add to that range, not 0 where two surfaces
    merge into one return. is_bloomed: the beam reports a retro-reflector beside it. is_stray: it reports a place where
    nothing is (dust, crosstalk).

    ranges_RA: float32 metres, infinite without a hit. materials_RA: indices into `MATERIALS`. overlap_share: the part
    of the gap between two columns that a beam's width covers, 0..1.
    """
    num_azimuths = ranges_RA.shape[1]
    ranges, materials = ranges_RA.ravel(), materials_RA.ravel()
    index = np.arange(ranges.size)
    draw = random.random(ranges.size, dtype=np.float32)
    side = np.where(draw < 0.5, -1, 1)
    beside = _beside(index, num_azimuths, side)
    reach = np.where(np.isfinite(ranges), ranges, np.float32(_NOWHERE_M))
    step = reach[beside] - reach
    # A wall seen at a flat angle has steps as large without any edge, but they are even: their difference is small.
    bend = step + reach[_beside(index, num_azimuths, -side)] - reach
    is_edge = (np.abs(step) > _EDGE_M) & (np.abs(bend) > _EDGE_M) & (np.maximum(reach, reach[beside]) < _NOWHERE_M)
    # Both beams of an edge use the same draw, so that they never swap surfaces with each other.
    draw = random.random(ranges.size, dtype=np.float32)[np.minimum(index, beside)]
    merges = is_edge & (np.abs(step) < _PULSE_M) & (draw < 0.7 * overlap_share)
    swaps = is_edge & ~merges & (np.where(beside > index, draw, 1 - draw) < _SWAP_SHARE * overlap_share)
    source = np.where(swaps, beside, index)
    blend = np.where(merges, step * random.uniform(0, 0.5, ranges.size).astype(np.float32), np.float32(0))
    is_bloomed = np.zeros(ranges.size, dtype=bool)
    bright = np.flatnonzero(_IS_RETRO[materials] & (reach < _BLOOM_REACH_M))
    for neighbour in _around(bright, ranges_RA.shape):
        blooms = (reach[neighbour] - reach[bright] > 0.3) & (random.random(len(bright)) < _BLOOM_SHARE)
        source[neighbour[blooms]], blend[neighbour[blooms]] = bright[blooms], 0
        is_bloomed[neighbour[blooms]] = True
    is_stray = random.random(ranges.size, dtype=np.float32) < _STRAY_SHARE
    return source, blend, is_bloomed, is_stray


def _beside(index: np.ndarray, num_azimuths: int, steps: int | np.ndarray) -> np.ndarray:
    """Indices of the beams `steps` columns further on the same ring; the ring is closed."""
    column = index % num_azimuths
    return index - column + (column + steps) % num_azimuths


def _around(index: np.ndarray, shape: tuple[int, int]) -> Iterator[np.ndarray]:
    """Indices of the beams to the right, left, above and below; beyond the top and bottom ring the beam itself."""
    num_rings, num_azimuths = shape
    for steps in (-1, 1):
        yield _beside(index, num_azimuths, steps)
    for steps in (-num_azimuths, num_azimuths):
        neighbour = index + steps
        yield np.where((neighbour >= 0) & (neighbour < num_rings * num_azimuths), neighbour, index)
