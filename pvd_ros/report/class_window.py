"""How often each class was found in the last seconds, and with which confidence. Needs NumPy only."""

from __future__ import annotations

from collections import deque
from threading import Lock

import numpy as np

WINDOW_S = 10
COLUMNS = ("points", "share", "mean_confidence")


class ClassWindow:
    """Sums of the last WINDOW_S seconds: memory does not depend on the number of clouds. One thread records, another
    one reads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._now: np.ndarray | None = None
        self._seconds: deque[np.ndarray] = deque(maxlen=WINDOW_S)

    def record(self, labels: np.ndarray, confidence: np.ndarray, num_classes: int) -> None:
        """Adds a cloud: labels (N,), integers below num_classes, and confidence (N,)."""
        sums = np.stack(
            (np.bincount(labels, minlength=num_classes), np.bincount(labels, confidence, num_classes)), axis=1
        ).astype(np.float64)
        with self._lock:
            self._now = sums if self._now is None else self._now + sums

    def close_second(self) -> np.ndarray | None:
        """To be called once a second. float64 (C - 1, 3), COLUMNS of each class from 1 on: points, their share of the
        points with a label, their mean confidence (0 where there are none); None if nothing was recorded."""
        with self._lock:
            if self._now is None and not self._seconds:
                return None
            template = self._seconds[-1] if self._now is None else self._now
            self._seconds.append(np.zeros_like(template) if self._now is None else self._now)
            self._now = None
            points, confidence = np.sum(self._seconds, axis=0)[1:].T
        if not points.any():
            self._seconds.clear()
            return None
        return np.stack((points, points / points.sum(), confidence / np.maximum(points, 1)), axis=1)
