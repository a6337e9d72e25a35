"""Per-class IoU by the official SemanticKITTI protocol.

One confusion matrix over all points of all scans; points whose truth is class 0 never count; a labelled point
predicted as class 0 is a miss; a class that never occurs scores 0 and stays in the mean of 19.
"""

import numpy as np

from pvd_core.taxonomy import CLASS_NAMES, NUM_CLASSES


class ConfusionMatrix:
    """`counts` int64 (20, 20): rows are predictions, columns are the truth."""

    def __init__(self):
        self.counts = np.zeros((NUM_CLASSES, NUM_CLASSES), dtype=np.int64)

    def update(self, predicted, truth):
        """Counts one scan. `predicted`, `truth`: class ids 0..19, any integer type (N,), in the same order."""
        predicted, truth = np.asarray(predicted), np.asarray(truth)
        if predicted.shape != truth.shape:
            raise ValueError(f"predictions have shape {predicted.shape}, the truth {truth.shape}: expected the same")
        for name, ids in (("predicted", predicted), ("true", truth)):
            if ids.size and (ids.min() < 0 or ids.max() >= NUM_CLASSES):
                raise ValueError(f"{name} class ids span {ids.min()}..{ids.max()}: expected 0..{NUM_CLASSES - 1}")
        cells = predicted.astype(np.int64).ravel() * NUM_CLASSES + truth.astype(np.int64).ravel()
        self.counts += np.bincount(cells, minlength=NUM_CLASSES**2).reshape(NUM_CLASSES, NUM_CLASSES)

    @staticmethod
    def summed(parts):
        """The matrix of all the scans of `parts` together."""
        whole = ConfusionMatrix()
        for part in parts:
            whole.counts += part.counts
        return whole

    @property
    def num_points(self):
        """Points counted so far whose truth is not class 0."""
        return int(self._counted().sum())

    def points_per_class(self):
        """True points a class, int64 (20,); 0 for class 0."""
        return self._counted().sum(axis=0)

    def iou(self):
        """IoU a class, float64 (20,) in 0..1; 0 for class 0 and for classes that never occur."""
        counts = self._counted()
        hits = np.diag(counts)
        unions = counts.sum(axis=0) + counts.sum(axis=1) - hits
        iou = hits / (unions + 1e-15)
        iou[0] = 0
        return iou

    def miou(self, present_only=False):
        """Mean IoU over the 19 classes, or over those that occur in the truth (0 where none does)."""
        included = np.arange(NUM_CLASSES) > 0
        if present_only:
            included &= self.points_per_class() > 0
        return float(self.iou()[included].mean()) if included.any() else 0.0

    def accuracy(self):
        """Share of the labelled points that are predicted right, by the official formula: points predicted as class 0
        are left out of it."""
        counts = self._counted()
        return float(np.diag(counts)[1:].sum() / (counts[1:].sum() + 1e-15))

    def iou_by_name(self):
        """{class name: IoU} of the 19 classes."""
        iou = self.iou()
        return {CLASS_NAMES[class_id]: float(iou[class_id]) for class_id in range(1, NUM_CLASSES)}

    def points_by_name(self):
        """{class name: true points} of the 19 classes."""
        return dict(zip(CLASS_NAMES[1:], self.points_per_class()[1:].tolist(), strict=True))

    def counts_by_name(self):
        """{true class: {label: points}} of the 19 classes, without those that are 0."""
        return {
            CLASS_NAMES[truth]: {
                CLASS_NAMES[label]: int(count) for label, count in enumerate(self.counts[:, truth]) if count
            }
            for truth in range(1, NUM_CLASSES)
        }

    def _counted(self):
        counts = self.counts.copy()
        counts[:, 0] = 0
        return counts
