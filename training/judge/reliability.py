"""Whether confidences are what they say: of labels with confidence 0.8, 80 in 100 should be right."""

from typing import Any

import numpy as np

NUM_BINS = 15


class Reliability:
    """Points whose truth is known, counted in bins of equal width by the confidence of their label."""

    def __init__(self) -> None:
        self._points, self._right, self._confidence = np.zeros((3, NUM_BINS))

    def update(self, confidence: np.ndarray, labels: np.ndarray, truth: np.ndarray) -> None:
        """Counts the points of one scan. `confidence`: float (N,) in 0..1; `labels`, `truth`: class ids (N,). Points
        without a label or a truth, class 0, do not count."""
        is_counted = (labels != 0) & (truth != 0)
        confidence = confidence[is_counted].astype(np.float64)
        bins = np.minimum((confidence * NUM_BINS).astype(np.int64), NUM_BINS - 1)
        is_right = (labels == truth)[is_counted]
        self._points += np.bincount(bins, minlength=NUM_BINS)
        self._right += np.bincount(bins, is_right, NUM_BINS)
        self._confidence += np.bincount(bins, confidence, NUM_BINS)

    def error(self) -> float:
        """Expected calibration error, 0..1: |share of right labels - mean confidence| of each bin, mean over the
        points; 0 if there is none."""
        return float(np.abs(self._right - self._confidence).sum() / max(self._points.sum(), 1))

    def as_dict(self) -> dict[str, Any]:
        """JSON-able: "ece", "mean_confidence", "right" (share of labels, as all here 0..1), and "bins", a list of the
        bins that have points, each with "from", "to", "points", "confidence" (mean) and "right"."""
        total = max(self._points.sum(), 1)
        bins = [
            {
                "from": round(number / NUM_BINS, 4),
                "to": round((number + 1) / NUM_BINS, 4),
                "points": int(points),
                "confidence": float(confidence / points),
                "right": float(right / points),
            }
            for number, (points, right, confidence) in enumerate(
                zip(self._points, self._right, self._confidence, strict=True)
            )
            if points
        ]
        means = {"mean_confidence": self._confidence.sum() / total, "right": self._right.sum() / total}
        return {"ece": self.error(), **{name: float(value) for name, value in means.items()}, "bins": bins}
