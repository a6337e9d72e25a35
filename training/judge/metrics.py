"""IoU of each class by the official SemanticKITTI protocol.

There is one confusion matrix over all points of all scans. Points whose truth is class 0 (unlabelled) never count. A
labelled point predicted as class 0 is a miss. A class that never occurs has IoU 0 and is part of the mean over 19.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike

from pvd_core.taxonomy import SEMANTICKITTI


class ConfusionMatrix:
    """`counts` int64 (20, 20): rows are predictions, columns are the truth."""

    def __init__(self) -> None:
        self.counts = np.zeros((SEMANTICKITTI.num_classes, SEMANTICKITTI.num_classes), dtype=np.int64)

    def update(self, predicted: ArrayLike, truth: ArrayLike) -> None:
        """Counts the points of one scan. `predicted`, `truth`: class ids 0..19, any integer type (N,), in the same
        order. ValueError for other shapes or ids."""
        predicted, truth = np.asarray(predicted), np.asarray(truth)
        if predicted.shape != truth.shape:
            raise ValueError(f"predictions have shape {predicted.shape}, the truth {truth.shape}: expected the same")
        for name, ids in (("predicted", predicted), ("true", truth)):
            if ids.size and (ids.min() < 0 or ids.max() >= SEMANTICKITTI.num_classes):
                raise ValueError(
                    f"{name} class ids span {ids.min()}..{ids.max()}: expected 0..{SEMANTICKITTI.num_classes - 1}"
                )
        cells = predicted.astype(np.int64).ravel() * SEMANTICKITTI.num_classes + truth.astype(np.int64).ravel()
        self.counts += np.bincount(cells, minlength=SEMANTICKITTI.num_classes**2).reshape(
            SEMANTICKITTI.num_classes, SEMANTICKITTI.num_classes
        )

    @staticmethod
    def summed(parts: Iterable["ConfusionMatrix"]) -> "ConfusionMatrix":
        """The matrix over all points of all `parts`."""
        whole = ConfusionMatrix()
        for part in parts:
            whole.counts += part.counts
        return whole

    @property
    def num_points(self) -> int:
        """Number of points so far whose truth is not class 0."""
        return int(self._counted().sum())

    def points_per_class(self) -> np.ndarray:
        """Number of points whose truth is each class, int64 (20,); 0 for class 0."""
        return self._counted().sum(axis=0)

    def iou(self) -> np.ndarray:
        """IoU of each class, float64 (20,) in 0..1; 0 for class 0 and for classes that never occur."""
        counts = self._counted()
        hits = np.diag(counts)
        unions = counts.sum(axis=0) + counts.sum(axis=1) - hits
        iou = hits / (unions + 1e-15)
        iou[0] = 0
        return iou

    def miou(self, present_only: bool = False) -> float:
        """Mean IoU over the 19 classes; `present_only`: over those that occur in the truth (0 if none does)."""
        included = np.arange(SEMANTICKITTI.num_classes) > 0
        if present_only:
            included &= self.points_per_class() > 0
        return float(self.iou()[included].mean()) if included.any() else 0.0

    def accuracy(self) -> float:
        """Share of the points that are predicted right. By the official formula, points whose truth or prediction is
        class 0 are left out."""
        counts = self._counted()
        return float(np.diag(counts)[1:].sum() / (counts[1:].sum() + 1e-15))

    def iou_by_name(self) -> dict[str, float]:
        """{class name: IoU} of the 19 classes."""
        iou = self.iou()
        return {SEMANTICKITTI.names[class_id]: float(iou[class_id]) for class_id in range(1, SEMANTICKITTI.num_classes)}

    def points_by_name(self) -> dict[str, int]:
        """{class name: number of points whose truth it is} of the 19 classes."""
        return dict(zip(SEMANTICKITTI.names[1:], self.points_per_class()[1:].tolist(), strict=True))

    def counts_by_name(self) -> dict[str, dict[str, int]]:
        """{true class: {predicted class: number of points}} of the 19 classes; numbers that are 0 are left out."""
        return {
            SEMANTICKITTI.names[truth]: {
                SEMANTICKITTI.names[label]: int(count) for label, count in enumerate(self.counts[:, truth]) if count
            }
            for truth in range(1, SEMANTICKITTI.num_classes)
        }

    def _counted(self) -> np.ndarray:
        """The matrix without the points whose truth is class 0."""
        counts = self.counts.copy()
        counts[:, 0] = 0
        return counts
