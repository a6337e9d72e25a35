"""What the width of a beam does: at edges it returns the surface behind, the one before, or a range in between; around
retro-reflectors it returns them although it points past them.

Works on the sensor's grid, (rings, azimuths): each beam gets the grid index of the beam whose surface it reports.
"""

import numpy as np

from training.simulate.sensor.materials import material_column

_IS_RETRO = material_column("is_retro", bool)
_EDGE_M = 0.15
_PULSE_M = 0.9  # two surfaces closer than this melt into one return
_SWAP_SHARE = 0.2
_NOWHERE_M = 1e4
_BLOOM_SHARE = 0.45
_BLOOM_REACH_M = 45.0
_STRAY_SHARE = 1e-4


def reported_surfaces(ranges_RA, materials_RA, overlap_share, random):
    """(source, blend, is_bloomed, is_stray), each flat (R * A,).

    source: index of the beam whose surface is reported; blend: metres to add to its range, where two surfaces melt;
    is_bloomed: reports a retro-reflector beside it; is_stray: reports a place where nothing is (dust, crosstalk).
    `overlap_share`: how much of the gap between two columns a beam's width covers, 0..1.
    """
    num_azimuths = ranges_RA.shape[1]
    ranges, materials = ranges_RA.ravel(), materials_RA.ravel()
    index = np.arange(ranges.size)
    draw = random.random(ranges.size, dtype=np.float32)
    side = np.where(draw < 0.5, -1, 1)
    beside = _beside(index, num_azimuths, side)
    reach = np.where(np.isfinite(ranges), ranges, np.float32(_NOWHERE_M))
    step = reach[beside] - reach
    # On a wall seen at a flat angle ranges step as far without an edge, but evenly.
    bend = step + reach[_beside(index, num_azimuths, -side)] - reach
    is_edge = (np.abs(step) > _EDGE_M) & (np.abs(bend) > _EDGE_M) & (np.maximum(reach, reach[beside]) < _NOWHERE_M)
    # One draw for both beams of an edge: they never change places.
    draw = random.random(ranges.size, dtype=np.float32)[np.minimum(index, beside)]
    melts = is_edge & (np.abs(step) < _PULSE_M) & (draw < 0.7 * overlap_share)
    swaps = is_edge & ~melts & (np.where(beside > index, draw, 1 - draw) < _SWAP_SHARE * overlap_share)
    source = np.where(swaps, beside, index)
    blend = np.where(melts, step * random.uniform(0, 0.5, ranges.size).astype(np.float32), np.float32(0))
    is_bloomed = np.zeros(ranges.size, dtype=bool)
    bright = np.flatnonzero(_IS_RETRO[materials] & (reach < _BLOOM_REACH_M))
    for neighbour in _around(bright, ranges_RA.shape):
        blooms = (reach[neighbour] - reach[bright] > 0.3) & (random.random(len(bright)) < _BLOOM_SHARE)
        source[neighbour[blooms]], blend[neighbour[blooms]] = bright[blooms], 0
        is_bloomed[neighbour[blooms]] = True
    is_stray = random.random(ranges.size, dtype=np.float32) < _STRAY_SHARE
    return source, blend, is_bloomed, is_stray


def _beside(index, num_azimuths, steps):
    column = index % num_azimuths
    return index - column + (column + steps) % num_azimuths


def _around(index, shape):
    """The beams to the left, right, above and below (at the top and bottom ring: themselves)."""
    num_rings, num_azimuths = shape
    for steps in (-1, 1):
        yield _beside(index, num_azimuths, steps)
    for steps in (-num_azimuths, num_azimuths):
        neighbour = index + steps
        yield np.where((neighbour >= 0) & (neighbour < num_rings * num_azimuths), neighbour, index)
