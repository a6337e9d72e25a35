"""Which of the labels that a network gave are to be learnt from: of each class those that it is surest of. A network
that learns from all of its own labels repeats its errors; the surest of all classes together would be cars and roads.

N points of a scan, C classes, 256 levels of confidence.
"""

import math
from dataclasses import dataclass, field

import numpy as np

from pvd_core.segmenter import Segmentation
from pvd_core.taxonomy import Taxonomy

_NUM_LEVELS = 256


@dataclass(frozen=True)
class LevelledLabels:
    """Labels of a scan in little memory: class ids uint8 (N,), and their confidence 0..1 as a level, uint8 (N,)."""

    labels: np.ndarray
    levels: np.ndarray

    @classmethod
    def of(cls, votes: Segmentation) -> "LevelledLabels":
        """Of what was voted for."""
        return cls(votes.labels, np.minimum(votes.confidence * _NUM_LEVELS, _NUM_LEVELS - 1).astype(np.uint8))


@dataclass
class SurestLabels:
    """Counts the labels of all scans, then says which of them are to be learnt from."""

    taxonomy: Taxonomy
    share: float
    """Of the points of each class, 0..1, about: points of one level are taken together."""
    least_confidence: float = 0.0
    """Below it nothing is learnt from, 0..1: a class that is found, but nowhere for sure, is mostly not there."""
    _counts: np.ndarray = field(init=False)  # int64 (C, 256)

    def __post_init__(self) -> None:
        self._counts = np.zeros((self.taxonomy.num_classes, _NUM_LEVELS), np.int64)

    def add(self, scan: LevelledLabels) -> None:
        """Counts those of a scan."""
        np.add.at(self._counts, (scan.labels, scan.levels), 1)

    def chosen(self, scan: LevelledLabels) -> np.ndarray:
        """Class ids uint8 (N,): the labels that are to be learnt from, 0 for the others."""
        return np.where(scan.levels >= self._least_levels[scan.labels], scan.labels, 0).astype(np.uint8)

    def report(self) -> dict[str, dict[str, float]]:
        """{class: {"points", "learnt" (points), "least_confidence"}} of those found."""
        least = self._least_levels
        found = {}
        for number in range(1, len(self._counts)):
            if of_class := int(self._counts[number].sum()):
                learnt = int(self._counts[number, least[number] :].sum())
                confidence = float(least[number]) / _NUM_LEVELS
                found[self.taxonomy.names[number]] = {
                    "points": of_class,
                    "learnt": learnt,
                    "least_confidence": confidence,
                }
        return found

    @property
    def _least_levels(self) -> np.ndarray:
        """int64 (C,): the highest level from which on there are at least `share` of the class's points, but none below
        `least_confidence`."""
        at_least_CL = self._counts[:, ::-1].cumsum(axis=1)[:, ::-1]
        is_enough_CL = at_least_CL >= self.share * at_least_CL[:, :1]
        of_share_C = _NUM_LEVELS - 1 - is_enough_CL[:, ::-1].argmax(axis=1)
        return np.maximum(of_share_C, math.ceil(self.least_confidence * _NUM_LEVELS))
