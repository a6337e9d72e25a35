"""A change of the kerbs' height. Kerbs of other towns, and simulated ones, differ from those of the training data by
some centimetres, and height is much of what tells a sidewalk from a road."""

import numpy as np

from pvd_core.taxonomy import Taxonomy
from training.data.augmentation.groups import classes_beside_the_road


def raise_kerbs(
    points: np.ndarray,
    class_ids: np.ndarray,
    generator: np.random.Generator,
    max_metres: float,
    taxonomy: Taxonomy,
) -> np.ndarray:
    """Lifts all points of the classes beside the road by one height for the scan, uniform from 0 to `max_metres`.

    Points in and out: float32 (N, 4); class_ids: (N,), those of `taxonomy`.
    """
    result = points.copy()
    result[np.isin(class_ids, classes_beside_the_road(taxonomy)), 2] += np.float32(generator.uniform(0, max_metres))
    return result
