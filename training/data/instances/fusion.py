"""Puts what earlier scans saw of a scan's objects onto it (M2SKD, spec 6.2). N points of the scan, M appended ones."""

from collections.abc import Sequence

import numpy as np

from training.data.instances.store import Cut
from training.data.instances.width import width_of

_ID_BITS = 16


def fused(
    points: np.ndarray,
    class_ids: np.ndarray,
    instances: np.ndarray,
    past: Sequence[Cut],
    widest_C: np.ndarray,
    moves_centroids: bool = True,
) -> Cut:
    """The points of earlier scans to append to a scan: for each of its objects those of the same class and instance id
    in `past`, newest first, moved so that their centroid is the object's, or where they are without `moves_centroids`.

    `points` float32 (N, 4), `class_ids` and `instances` integers (N,): the scan. `widest_C`: see `widest_of_classes`;
    nothing is put onto an id whose points lie farther apart. Nothing of the scan itself is among
    the result, so that each of its points stays one point.
    """
    # The released code moves each part onto the centroid of all that is there so far. Parts whose centroids are equal
    # do not move it, so it is the centroid of the scan's own points.
    key_N = _keys(class_ids, instances)
    parts = []
    for cut in past:
        key_M = _keys(cut.class_ids, cut.instances)
        for key in np.intersect1d(key_M, key_N):
            is_own_M, own = key_M == key, points[key_N == key]
            if width_of(own) > widest_C[key >> _ID_BITS]:
                continue
            appended = cut.points[is_own_M].copy()
            if moves_centroids:
                appended[:, :3] += _centroid(own) - _centroid(appended)
            parts.append(Cut(appended, cut.class_ids[is_own_M], cut.instances[is_own_M]))
    if not parts:
        return Cut(np.empty((0, 4), np.float32), np.empty(0, np.uint8), np.empty(0, np.uint16))
    return Cut(
        np.concatenate([part.points for part in parts]),
        np.concatenate([part.class_ids for part in parts]),
        np.concatenate([part.instances for part in parts]),
    )


def _keys(class_ids: np.ndarray, instances: np.ndarray) -> np.ndarray:
    return class_ids.astype(np.int64) << _ID_BITS | instances.astype(np.int64)


def _centroid(points: np.ndarray) -> np.ndarray:
    """Mean x, y, z, float32 (3,); summed in float64."""
    return points[:, :3].mean(axis=0, dtype=np.float64).astype(np.float32)
