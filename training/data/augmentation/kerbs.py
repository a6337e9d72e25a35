"""A change of the kerbs' height. Kerbs of other towns, and simulated ones, differ from those of the training data by
some centimetres, and height is much of what tells a sidewalk from a road."""

import numpy as np

from pvd_core.taxonomy import SEMANTICKITTI

_NAMES = "bicycle person sidewalk other-ground building fence vegetation trunk terrain pole traffic-sign"
_BESIDE_THE_ROAD = [SEMANTICKITTI.names.index(name) for name in _NAMES.split()]


def raise_kerbs(
    points: np.ndarray, class_ids: np.ndarray, generator: np.random.Generator, max_metres: float
) -> np.ndarray:
    """Lifts all points of the classes beside the road by one height for the scan, uniform from 0 to `max_metres`.

    Points in and out: float32 (N, 4); class_ids: (N,).
    """
    result = points.copy()
    result[np.isin(class_ids, _BESIDE_THE_ROAD), 2] += np.float32(generator.uniform(0, max_metres))
    return result
