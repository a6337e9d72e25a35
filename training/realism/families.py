"""What a measure is: a histogram of a scan, of all its points or of those of one class or band of distances."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from pvd_core.taxonomy import SEMANTICKITTI

if TYPE_CHECKING:
    from training.realism.scans import MeasuredScan

CLASSES = SEMANTICKITTI
"""Real and simulated scans are compared in these classes."""

MIN_POINTS = 50
"""A subject with fewer points in a scan is left out of its histograms."""

FREQUENT_CLASSES = tuple(
    CLASSES.names.index(name)
    for name in ("car", "road", "parking", "sidewalk", "building", "fence", "vegetation", "trunk", "terrain", "pole")
)


@dataclass(frozen=True)
class Family:
    """Measures of one kind for several subjects ("all", "car", "10-20 m").

    `measure(scan, edges)` gives {subject: float64 (bins,)}. The bins sum to 1 if `is_distribution`; otherwise each bin
    holds a share or ratio of its own. `edges`: bins + 1 ascending numbers in `unit`, or the indices of the bins where
    `categories` names them.
    """

    name: str
    title: str
    unit: str
    edges: np.ndarray = field(repr=False)
    measure: Callable[["MeasuredScan", np.ndarray], dict[str, np.ndarray]]
    categories: tuple[str, ...] = ()
    is_distribution: bool = True
    is_logarithmic: bool = False


def shares(counts: np.ndarray) -> np.ndarray:
    """`counts` (bins,) as shares of their sum."""
    return counts / counts.sum()


def histogram_by_class(values: np.ndarray, class_ids: np.ndarray, edges: np.ndarray) -> dict[str, np.ndarray]:
    """Histograms of `values` (N,) of points with `class_ids` (N,): {"all" or the name of a frequent class: float64
    (bins,) that sum to 1}. Values outside the edges count in the outermost bins. Subjects with fewer than MIN_POINTS
    values are left out."""
    num_bins = len(edges) - 1
    bins = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, num_bins - 1)
    flat = np.bincount(class_ids.astype(np.int64) * num_bins + bins, minlength=CLASSES.num_classes * num_bins)
    counts = flat.reshape(CLASSES.num_classes, num_bins).astype(np.float64)
    found = {"all": shares(counts.sum(axis=0))} if len(values) >= MIN_POINTS else {}
    for class_id in FREQUENT_CLASSES:
        if counts[class_id].sum() >= MIN_POINTS:
            found[CLASSES.names[class_id]] = shares(counts[class_id])
    return found
