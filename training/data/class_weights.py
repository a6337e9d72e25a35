"""Weights of the classes in the cross-entropies, from the label counts of the training scans."""

import numpy as np
import torch

from pvd_core.taxonomy import CLASS_NAMES, NUM_CLASSES

_ROOTS = {"sqrt": 2, "cuberoot": 3}


def count_classes(folder, indices):
    """int64 (20,): points a class over the scans `indices` of a ScanFolder."""
    counts = np.zeros(NUM_CLASSES, dtype=np.int64)
    for index in indices:
        counts += np.bincount(folder.class_ids(index), minlength=NUM_CLASSES)
    return counts


def class_weights(counts, preset):
    """float32 (20,): (largest count / count) ** (1/2 or 1/3); 1 for class 0 and for classes without points. None for
    the preset "none"."""
    if preset == "none":
        return None
    labelled = counts.astype(np.float64)
    labelled[0] = 0
    weights = np.ones(NUM_CLASSES)
    present = labelled > 0
    weights[present] = (labelled.max() / labelled[present]) ** (1 / _ROOTS[preset])
    return torch.from_numpy(weights.astype(np.float32))


def describe(weights):
    """One line: every class with its weight."""
    return ", ".join(f"{CLASS_NAMES[i]} {weights[i]:.2f}" for i in range(1, NUM_CLASSES))
