"""Weights of the classes in the cross-entropies, from the label counts of the training scans. C classes."""

from collections.abc import Iterable

import numpy as np
import torch

from pvd_core.taxonomy import Taxonomy
from training.data.dataset import ScanFolder

_ROOTS = {"sqrt": 2, "cuberoot": 3}


def count_classes(folder: ScanFolder, indices: Iterable[int]) -> np.ndarray:
    """int64 (C,): number of points of each class over the scans `indices`."""
    counts = np.zeros(folder.taxonomy.num_classes, dtype=np.int64)
    for index in indices:
        counts += np.bincount(folder.class_ids(index), minlength=folder.taxonomy.num_classes)
    return counts


def class_weights(counts: np.ndarray, preset: str) -> torch.Tensor:
    """float32 (C,): (largest count / count) ** (1/2 or 1/3); 1 for class 0 and for classes without points.

    `counts`: int64 (C,), as `count_classes` gives them. `preset`: "sqrt" or "cuberoot".
    """
    labelled = counts.astype(np.float64)
    labelled[0] = 0
    weights = np.ones(len(counts))
    present = labelled > 0
    weights[present] = (labelled.max() / labelled[present]) ** (1 / _ROOTS[preset])
    return torch.from_numpy(weights.astype(np.float32))


def describe(weights: torch.Tensor, taxonomy: Taxonomy) -> str:
    """One line: each class and its weight. Those that are 1, as of classes without points, are not listed."""
    by_name = list(zip(taxonomy.names, weights.tolist(), strict=True))[1:]
    listed = [f"{name} {weight:.2f}" for name, weight in by_name if weight != 1]
    return ", ".join([*listed, "others 1"])
