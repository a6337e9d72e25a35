"""The gap between real and simulated histograms, beside the gap that real scenes have among themselves.

S sequences, B bins.
"""

from dataclasses import dataclass

import numpy as np

from training.realism.families import Family
from training.realism.ground import GROUND_FAMILIES
from training.realism.points import POINT_FAMILIES
from training.realism.rays import RAY_FAMILIES

FAMILIES = (*POINT_FAMILIES, *RAY_FAMILIES, *GROUND_FAMILIES)
_NUM_HALVINGS = 40
MIN_SEQUENCES = 3


@dataclass(frozen=True)
class Gap:
    """A measure of both folders. Every sequence counts the same, however many of its scans were read."""

    family: Family
    subject: str
    real_SB: np.ndarray
    simulated_SB: np.ndarray

    @property
    def name(self):
        return self.family.name if self.subject == "all" else f"{self.family.name}: {self.subject}"

    @property
    def real(self):
        return self.real_SB.mean(axis=0)

    @property
    def simulated(self):
        return self.simulated_SB.mean(axis=0)

    @property
    def distance(self):
        """Total variation, 0 (same) to 1 (no overlap); for shares that are no distribution their mean difference."""
        return float(self._distance(self.real, self.simulated))

    @property
    def floor(self):
        """The mean distance of two random halves of the real sequences: smaller gaps are not known to be any. NaN
        where too few sequences have the subject."""
        if len(self.real_SB) < MIN_SEQUENCES:
            return float("nan")
        random = np.random.default_rng(0)
        distances = []
        for _ in range(_NUM_HALVINGS):
            order = random.permutation(len(self.real_SB))
            first, second = np.array_split(order, 2)
            distances.append(self._distance(self.real_SB[first].mean(axis=0), self.real_SB[second].mean(axis=0)))
        return float(np.mean(distances))

    @property
    def excess(self):
        """How far the gap is above what real scenes differ by; what the report sorts by."""
        return self.distance - self.floor

    @property
    def wasserstein(self):
        """How far mass must move on average, in the family's unit; NaN for categories and plain shares."""
        if self.family.categories or not self.family.is_distribution:
            return float("nan")
        difference = np.cumsum(self.real - self.simulated)[:-1]
        centres = self.centres
        return float(np.sum(np.abs(difference) * np.diff(centres)))

    @property
    def centres(self):
        edges = self.family.edges
        return np.sqrt(edges[1:] * edges[:-1]) if self.family.is_logarithmic else (edges[1:] + edges[:-1]) / 2

    @property
    def means(self):
        """(real, simulated): means over the histogram, or of the shares; NaN for categories."""
        if self.family.categories:
            return float("nan"), float("nan")
        if not self.family.is_distribution:
            return float(self.real.mean()), float(self.simulated.mean())
        return float(self.real @ self.centres), float(self.simulated @ self.centres)

    def _distance(self, first, second):
        difference = np.abs(first - second)
        return difference.sum() / 2 if self.family.is_distribution else difference.mean()


def measure_scans(scans, progress=None):
    """{(family's index, subject): float64 (S, B)} of an iterable of MeasuredScan: means over the scans of each
    sequence that have the subject."""
    sums = {}
    for done, scan in enumerate(scans, start=1):
        for index, family in enumerate(FAMILIES):
            for subject, bins in family.measure(scan, family.edges).items():
                by_sequence = sums.setdefault((index, subject), {})
                before, count = by_sequence.get(scan.sequence, (0.0, 0))
                by_sequence[scan.sequence] = (before + bins, count + 1)
        if progress is not None:
            progress(done)
    return {key: np.stack([total / count for total, count in values.values()]) for key, values in sums.items()}


def gaps_between(real, simulated):
    """Gaps of what `measure_scans` gave for both, largest excess first, and the names of what only one side has or
    too few real sequences have."""
    gaps, left_out = [], []
    for index, subject in dict.fromkeys((*real, *simulated)):
        key = (index, subject)
        name = f"{FAMILIES[index].name}: {subject}"
        if key not in simulated:
            left_out.append(f"{name} (not in the simulated scans)")
        elif key not in real or len(real[key]) < MIN_SEQUENCES:
            left_out.append(f"{name} (in fewer than {MIN_SEQUENCES} real sequences)")
        else:
            gaps.append(Gap(FAMILIES[index], subject, real[key], simulated[key]))
    return sorted(gaps, key=lambda gap: -gap.excess), left_out
