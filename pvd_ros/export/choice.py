"""Which scans of a bag are worth a person's time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from pvd_core.borders.errors import UserError
from pvd_ros.export.source import LabelledBag, LabelledScan


@dataclass(frozen=True)
class ScanChoice:
    """every: each n-th scan counts. below_confidence: of those the scans with the largest share of points below it are
    taken; None for the first ones. most: how many scans are taken; None for all. UserError for values that do not
    fit."""

    every: int = 1
    below_confidence: float | None = None
    most: int | None = None

    def __post_init__(self) -> None:
        if self.every < 1:
            raise UserError(f"--every is {self.every}: expected 1 for every scan, or more")
        if self.most is not None and self.most < 1:
            raise UserError(f"--scans is {self.most}: expected at least 1")
        if self.below_confidence is not None:
            if not 0 < self.below_confidence <= 1:
                raise UserError(f"--below-confidence is {self.below_confidence:g}: expected more than 0, at most 1")
            if self.most is None:
                raise UserError("--below-confidence needs --scans N, how many of the most unsure scans are wanted")

    def chosen(self, bag: LabelledBag, is_usable: np.ndarray | None = None) -> list[int]:
        """The numbers of the chosen scans of `bag`, ascending. is_usable: bool (N,), which scans count; None: all."""
        numbers = [n for n in range(bag.num_scans) if is_usable is None or is_usable[n]][:: self.every]
        if self.below_confidence is not None:
            shares = _unsure_shares(bag.scans(), self.below_confidence)
            numbers.sort(key=lambda number: -shares[number])  # stable: of equal ones the first
        return sorted(numbers[: self.most])


def unsure_share(scan: LabelledScan, threshold: float) -> float:
    """The share of the points with a label whose confidence is below `threshold`; 0 without such points."""
    has_label = scan.labels != 0
    return float(np.mean(scan.confidence[has_label] < threshold)) if has_label.any() else 0.0


def _unsure_shares(scans: Iterable[LabelledScan], threshold: float) -> list[float]:
    return [unsure_share(scan, threshold) for scan in scans]
