"""Objects of rare classes, cut out of labelled scans by their instance ids, to be pasted into other scans."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from pvd_core.taxonomy import Taxonomy
from training.data.augmentation.groups import ground_classes, rare_classes
from training.data.augmentation.rings import rings_of

_MIN_NUM_POINTS = 20
_MAX_DISTANCE_M = 40.0
_GROUND_AROUND_M = 2.0
# Limits the bank of a large data set to some tens of megabytes.
_MAX_OBJECTS_PER_CLASS = 300


@dataclass(frozen=True)
class SceneObject:
    """The points of one object, such as a cyclist, in the scan that it was cut out of."""

    points: np.ndarray
    """float32 (N, 4), in the frame of the sensor that saw the object."""
    rings: np.ndarray
    """int64 (N,): the ring of each point, as `rings_of` gives it."""
    class_id: int
    ground_z: float
    """Height of the ground around the object, in metres in the sensor's frame."""


def objects_in(
    points: np.ndarray, class_ids: np.ndarray, instances: np.ndarray, taxonomy: Taxonomy
) -> list[SceneObject]:
    """The objects of rare classes in a scan. Objects with too few points, too far away, or without ground around them
    are left out.

    points float32 (N, 4); class_ids (those of `taxonomy`) and instances integers (N,), where instance 0 means none.
    """
    candidates = np.flatnonzero((instances > 0) & np.isin(class_ids, rare_classes(taxonomy)))
    if not len(candidates):
        return []
    rings, ground = rings_of(points), points[np.isin(class_ids, ground_classes(taxonomy)), :3]
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


def _half_size(points: np.ndarray) -> float:
    return np.ptp(points[:, :2], axis=0).max() / 2


class ObjectBank:
    """The objects of some scans by class. The same scans in the same order give the same bank."""

    def __init__(self) -> None:
        self._by_class: dict[int, list[SceneObject]] = {}

    def add(self, objects: Iterable[SceneObject]) -> None:
        """Keeps `objects`, up to 300 of each class; later ones are ignored."""
        for item in objects:
            kept = self._by_class.setdefault(item.class_id, [])
            if len(kept) < _MAX_OBJECTS_PER_CLASS:
                kept.append(item)

    def __len__(self) -> int:
        return sum(map(len, self._by_class.values()))

    def draw(self, generator: np.random.Generator) -> SceneObject | None:
        """A random object; None from an empty bank. The class is drawn first, with equal probability, so that objects
        of the rarest class come as often as others."""
        classes = sorted(self._by_class)
        if not classes:
            return None
        kept = self._by_class[classes[generator.integers(len(classes))]]
        return kept[generator.integers(len(kept))]
