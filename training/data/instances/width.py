"""How wide one object of a class can be. Real labels give several people the same instance id: SemanticKITTI has a
"person" of 34 m (04/000000). What such a group looks like in another scan says nothing about this one."""

import numpy as np

from pvd_core.taxonomy import Taxonomy

_SMALL_M, _LARGE_M = 4.0, 30.0  # a cyclist with a trailer; the longest trucks and buses
_SMALL = ("bicycle", "motorcycle", "person", "bicyclist", "motorcyclist")


def widest_of_classes(taxonomy: Taxonomy) -> np.ndarray:
    """float64 (C,): the largest width in metres that one object of each class may have."""
    return np.where(np.isin(np.arange(taxonomy.num_classes), taxonomy.ids_of(_SMALL)), _SMALL_M, _LARGE_M)


def width_of(points: np.ndarray) -> float:
    """Diagonal in metres of the rectangle around points float32 (N, 4), seen from above."""
    return float(np.hypot(*np.ptp(points[:, :2], axis=0)))
