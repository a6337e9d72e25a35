"""IoU of each class by the official SemanticKITTI protocol.

There is one confusion matrix over all points of all scans. Points whose truth is class 0 (unlabelled) never count. A
labelled point predicted as class 0 is a miss. A class that never occurs has IoU 0 and is part of the mean.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from pvd_core.taxonomy import Taxonomy


class ConfusionMatrix:
    """`counts` int64 (C, C) of the C classes of `taxonomy`: rows are predictions, columns are the truth."""

    def __init__(self, taxonomy: Taxonomy) -> None:
        self.taxonomy = taxonomy
        self.counts = np.zeros((taxonomy.num_classes, taxonomy.num_classes), dtype=np.int64)

    def update(self, predicted: ArrayLike, truth: ArrayLike) -> None:
        """Counts the points of one scan. `predicted`, `truth`: class ids, any integer type (N,), in the same order.
        ValueError for other shapes or ids."""
        predicted, truth = np.asarray(predicted), np.asarray(truth)
        if predicted.shape != truth.shape:
            raise ValueError(f"predictions have shape {predicted.shape}, the truth {truth.shape}: expected the same")
        num_classes = self.taxonomy.num_classes
        for name, ids in (("predicted", predicted), ("true", truth)):
            if ids.size and (ids.min() < 0 or ids.max() >= num_classes):
                raise ValueError(f"{name} class ids span {ids.min()}..{ids.max()}: expected 0..{num_classes - 1}")
        cells = predicted.astype(np.int64).ravel() * num_classes + truth.astype(np.int64).ravel()
        self.counts += np.bincount(cells, minlength=num_classes**2).reshape(num_classes, num_classes)

    @staticmethod
    def summed(parts: Sequence["ConfusionMatrix"]) -> "ConfusionMatrix":
        """The matrix over all points of all `parts`, at least one, of the same taxonomy."""
        whole = ConfusionMatrix(parts[0].taxonomy)
        for part in parts:
            whole.counts += part.counts
        return whole

    @property
    def num_points(self) -> int:
        """Number of points so far whose truth is not class 0."""
        return int(self._counted().sum())

    def points_per_class(self) -> np.ndarray:
        """Number of points whose truth is each class, int64 (C,); 0 for class 0."""
        return self._counted().sum(axis=0)

    def iou(self) -> np.ndarray:
        """IoU of each class, float64 (C,) in 0..1; 0 for class 0 and for classes that never occur."""
        counts = self._counted()
        hits = np.diag(counts)
        unions = counts.sum(axis=0) + counts.sum(axis=1) - hits
        iou = hits / (unions + 1e-15)
        iou[0] = 0
        return iou

    def miou(self, present_only: bool = False) -> float:
        """Mean IoU over all classes but 0; `present_only`: over those that occur in the truth (0 if none does)."""
        included = np.arange(self.taxonomy.num_classes) > 0
        if present_only:
            included &= self.points_per_class() > 0
        return float(self.iou()[included].mean()) if included.any() else 0.0

    def accuracy(self) -> float:
        """Share of the points that are predicted right. By the official formula, points whose truth or prediction is
        class 0 are left out."""
        counts = self._counted()
        return float(np.diag(counts)[1:].sum() / (counts[1:].sum() + 1e-15))

    def iou_by_name(self) -> dict[str, float]:
        """{class name: IoU} of all classes but 0."""
        return dict(zip(self._names, self.iou()[1:].tolist(), strict=True))

    def points_by_name(self) -> dict[str, int]:
        """{class name: number of points whose truth it is} of all classes but 0."""
        return dict(zip(self._names, self.points_per_class()[1:].tolist(), strict=True))

    def counts_by_name(self) -> dict[str, dict[str, int]]:
        """{true class: {predicted class: number of points}} of all classes but 0; numbers that are 0 are left out."""
        names = self.taxonomy.names
        return {
            name: {names[label]: int(count) for label, count in enumerate(self.counts[:, truth]) if count}
            for truth, name in enumerate(self._names, start=1)
        }

    @property
    def _names(self) -> tuple[str, ...]:
        return self.taxonomy.names[1:]

    def _counted(self) -> np.ndarray:
        """The matrix without the points whose truth is class 0."""
        counts = self.counts.copy()
        counts[:, 0] = 0
        return counts
