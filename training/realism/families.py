"""What a measure is: a histogram that every scan yields, of all its points or of a part of them."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from pvd_core.taxonomy import CLASS_NAMES, NUM_CLASSES

MIN_POINTS = 50
"""A scan with fewer points of a subject says nothing about it."""

FREQUENT_CLASSES = tuple(
    CLASS_NAMES.index(name)
    for name in ("car", "road", "parking", "sidewalk", "building", "fence", "vegetation", "trunk", "terrain", "pole")
)


@dataclass(frozen=True)
class Family:
    """Measures of one kind for several subjects ("all", "car", "10-20 m").

    `measure(scan, edges)` gives {subject: float64 (bins,)}. The bins sum to 1 where `is_distribution`, else each is a
    share of its own. `edges` has bins + 1 ascending numbers in `unit`; where `categories` names the bins instead, it
    is their index.
    """

    name: str
    title: str
    unit: str
    edges: np.ndarray = field(repr=False)
    measure: Callable
    categories: tuple[str, ...] = ()
    is_distribution: bool = True
    is_logarithmic: bool = False


def shares(counts):
    """`counts` (bins,) as shares of their sum."""
    return counts / counts.sum()


def histogram_by_class(values, class_ids, edges, with_all=True):
    """{"all" and names of frequent classes: shares (bins,)} of `values` (N,) with `class_ids` (N,); values outside
    the edges count in the outermost bins. Subjects with fewer than MIN_POINTS values are left out."""
    num_bins = len(edges) - 1
    bins = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, num_bins - 1)
    flat = np.bincount(class_ids.astype(np.int64) * num_bins + bins, minlength=NUM_CLASSES * num_bins)
    counts = flat.reshape(NUM_CLASSES, num_bins).astype(np.float64)
    found = {"all": shares(counts.sum(axis=0))} if with_all and len(values) >= MIN_POINTS else {}
    for class_id in FREQUENT_CLASSES:
        if counts[class_id].sum() >= MIN_POINTS:
            found[CLASS_NAMES[class_id]] = shares(counts[class_id])
    return found
