"""Which classes were found in labelled clouds, and how sure the network was of them."""

from __future__ import annotations

import numpy as np

LOW_CONFIDENCE = 0.5
"""Points below it are counted as unsure."""


class ClassCounts:
    """Sums over labelled clouds, by class id (C,): clouds in which the class was found, its points, the sum of their
    confidences, and those of them with a confidence below LOW_CONFIDENCE."""

    def __init__(self, num_classes: int) -> None:
        self.clouds, self.points, self.unsure = (np.zeros(num_classes, np.int64) for _ in range(3))
        self.confidence = np.zeros(num_classes, np.float64)

    def add(self, labels: np.ndarray, confidence: np.ndarray) -> None:
        """Counts a cloud: class ids (N,) and the confidence of each, float32 (N,). Clouds counted in the same order
        give the same sums, bit for bit."""
        num_classes = len(self.points)
        points = np.bincount(labels, minlength=num_classes)
        self.points += points
        self.clouds += points > 0
        self.confidence += np.bincount(labels, confidence, minlength=num_classes)
        self.unsure += np.bincount(labels[confidence < LOW_CONFIDENCE], minlength=num_classes)
