"""Objects of rare classes, cut out of labelled scans by their instance ids, ready to be pasted into others."""

from dataclasses import dataclass

import numpy as np

from training.data.augmentation.rings import rings_of
from training.data.augmentation.swap import RARE_CLASSES

GROUND_CLASSES = (9, 10, 11, 12, 17)
"""road, parking, sidewalk, other-ground, terrain."""

_MIN_NUM_POINTS = 20
_MAX_DISTANCE_M = 40.0
_GROUND_AROUND_M = 2.0
# Keeps the bank of a large data set within some tens of megabytes.
_MAX_OBJECTS_A_CLASS = 300


@dataclass(frozen=True)
class SceneObject:
    points: np.ndarray
    """float32 (N, 4) where its sensor saw it."""
    rings: np.ndarray
    """int64 (N,)."""
    class_id: int
    ground_z: float
    """Height of the ground around it."""


def objects_in(points, class_ids, instances):
    """List of the SceneObjects of a scan: points float32 (N, 4), class ids and instance ids (N,), 0 for none.

    Too few points, too far away, or no ground around: left out.
    """
    candidates = np.flatnonzero((instances > 0) & np.isin(class_ids, RARE_CLASSES))
    if not len(candidates):
        return []
    rings, ground = rings_of(points), points[np.isin(class_ids, GROUND_CLASSES), :3]
    keys = class_ids[candidates].astype(np.int64) << 16 | instances[candidates]
    objects = []
    for key in np.unique(keys):
        own = candidates[keys == key]
        middle = points[own, :2].mean(axis=0)
        if len(own) < _MIN_NUM_POINTS or np.hypot(*middle) > _MAX_DISTANCE_M:
            continue
        near = np.abs(ground[:, 0] - middle[0]) < _half_size(points[own]) + _GROUND_AROUND_M
        near &= np.abs(ground[:, 1] - middle[1]) < _half_size(points[own]) + _GROUND_AROUND_M
        if near.any():
            objects.append(SceneObject(points[own], rings[own], int(key >> 16), float(np.median(ground[near, 2]))))
    return objects


def _half_size(points):
    return np.ptp(points[:, :2], axis=0).max() / 2


class ObjectBank:
    """The objects of some scans by class. The same scans in the same order give the same bank."""

    def __init__(self):
        self._by_class = {class_id: [] for class_id in RARE_CLASSES}

    def add(self, objects):
        for item in objects:
            kept = self._by_class[item.class_id]
            if len(kept) < _MAX_OBJECTS_A_CLASS:
                kept.append(item)

    def __len__(self):
        return sum(map(len, self._by_class.values()))

    def draw(self, generator):
        """A SceneObject: first its class, each that there is as likely, so that the rarest come as often; None from an
        empty bank."""
        classes = [class_id for class_id, kept in self._by_class.items() if kept]
        if not classes:
            return None
        kept = self._by_class[classes[generator.integers(len(classes))]]
        return kept[generator.integers(len(kept))]
