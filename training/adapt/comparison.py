"""What an adaptation changed: the labels of two networks on the same scans, how sure they are, and IoU where the truth
is known. N points of a scan, P measured ones, C classes."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from pvd_core.clouds.measured import is_measured, measured_points
from pvd_core.models.network import Network
from pvd_core.segmenter import Segmenter
from training.judge.evaluate import metrics_of
from training.judge.metrics import ConfusionMatrix

LEAST_AGREEMENT = 0.7
"""Share of the points that should keep their label. benchmarks/adapt has what it rests on: statistics of KITTI's scans
leave 87 % of the labels and help; those of PandaSet, moved by an eighth, leave 72 % and help, but moved by a half they
leave 52 % and harm."""

_FACTOR_OF_CHANGE = 2.0
_LEAST_SHARE = 0.001


@dataclass(frozen=True)
class Opinion:
    """labels: class ids uint8 (N,), 0 for points that are not measured. confidence and entropy: sums over the measured
    points of the label's probability, and of the entropy of all classes as a share of the largest possible, 0..1."""

    labels: np.ndarray
    confidence: float
    entropy: float


@torch.inference_mode()
def opinion_of(segmenter: Segmenter, points: np.ndarray) -> Opinion:
    """What the network of `segmenter` thinks of a scan, float32 (N, 4) in its frame."""
    measured_N = is_measured(points)
    labels = np.zeros(len(points), np.uint8)
    if not measured_N.any():
        return Opinion(labels, 0.0, 0.0)
    log_PC = segmenter.log_probabilities(measured_points(points, measured_N))
    best_P, labels_P = log_PC.max(dim=1)
    labels[measured_N] = labels_P.cpu().numpy() + 1
    entropy_P = -(log_PC.exp() * log_PC).sum(dim=1) / np.log(log_PC.shape[1])
    return Opinion(labels, float(best_P.exp().double().sum()), float(entropy_P.double().sum()))


class Comparison:
    """Labels scans by two networks and counts. `labels` are the last scan's, before and after."""

    def __init__(self, before: Network, after: Network, facts: dict[str, Any], device: torch.device) -> None:
        self._segmenters = [Segmenter(network, facts, device) for network in (before, after)]
        self.taxonomy = self._segmenters[0].taxonomy
        num = self.taxonomy.num_classes
        self._moved = np.zeros((num, num), np.int64)  # rows: labels before, columns: after
        self._confidence, self._entropy = np.zeros(2), np.zeros(2)
        self._scores = [ConfusionMatrix(self.taxonomy) for _ in range(2)]
        self._num_scans = self._num_with_truth = 0

    def add(self, points: np.ndarray, truth: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """(labels before, labels after), uint8 (N,) each, of a scan float32 (N, 4) in the network's frame; `truth`:
        class ids (N,) where they are known."""
        opinions = [opinion_of(segmenter, points) for segmenter in self._segmenters]
        before, after = (opinion.labels for opinion in opinions)
        np.add.at(self._moved, (before, after), 1)
        self._confidence += [opinion.confidence for opinion in opinions]
        self._entropy += [opinion.entropy for opinion in opinions]
        self._num_scans += 1
        if truth is not None:
            self._num_with_truth += 1
            for scores, labels in zip(self._scores, (before, after), strict=True):
                scores.update(labels, truth)
        return before, after

    def report(self) -> dict[str, Any]:
        """JSON-able:

        - "scans", "points" (measured ones), "agreement": share of them that keep their label
        - "confidence", "entropy": {"before", "after"}, means over the points, 0..1
        - "classes": {name: {"before", "after", "kept"}} in points, of those found; "kept": by both networks
        - "changed": names of classes that are found twice or half as often as before, or more extreme
        - "truth": None, or "scans", "before", "after" with the metrics of both, and "is_worse"
        """
        counts = self._moved[1:, 1:]
        num_points = max(int(counts.sum()), 1)
        names = self.taxonomy.names[1:]
        before, after, kept = counts.sum(1), counts.sum(0), np.diag(counts)
        classes = {
            name: {"before": int(before[n]), "after": int(after[n]), "kept": int(kept[n])}
            for n, name in enumerate(names)
            if before[n] or after[n]
        }
        changed = [
            name
            for name, each in classes.items()
            if max(each["before"], each["after"]) > _LEAST_SHARE * num_points
            and max(each["before"], each["after"]) > _FACTOR_OF_CHANGE * min(each["before"], each["after"])
        ]
        return {
            "scans": self._num_scans,
            "points": int(counts.sum()),
            "agreement": float(kept.sum() / num_points),
            "confidence": _pair(self._confidence / num_points),
            "entropy": _pair(self._entropy / num_points),
            "classes": classes,
            "changed": changed,
            "truth": self._against_truth(),
        }

    def _against_truth(self) -> dict[str, Any] | None:
        if not self._scores[0].num_points:
            return None
        before, after = (metrics_of(scores) for scores in self._scores)
        is_worse = after["miou_present"] < before["miou_present"]
        return {"scans": self._num_with_truth, "before": before, "after": after, "is_worse": is_worse}


def _pair(values: np.ndarray) -> dict[str, float]:
    return {"before": float(values[0]), "after": float(values[1])}
