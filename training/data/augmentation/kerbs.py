"""Another height of what lies and stands behind kerbs: simulated ones and those of other towns differ by a hand's
width, and are much of what tells a sidewalk from a road."""

import numpy as np

from pvd_core.taxonomy import CLASS_NAMES

_NAMES = "bicycle person sidewalk other-ground building fence vegetation trunk terrain pole traffic-sign"
_BESIDE_THE_ROAD = [CLASS_NAMES.index(name) for name in _NAMES.split()]


def raise_kerbs(points, class_ids, generator, max_metres):
    """Lifts all points of classes beside the road by one height a scan, uniform from 0 to `max_metres`."""
    result = points.copy()
    result[np.isin(class_ids, _BESIDE_THE_ROAD), 2] += np.float32(generator.uniform(0, max_metres))
    return result
