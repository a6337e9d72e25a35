"""The distance between real and simulated histograms, and for comparison the distance of real scenes from each other.

S sequences, B bins.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from training.realism.families import Family
from training.realism.ground import GROUND_FAMILIES
from training.realism.points import POINT_FAMILIES
from training.realism.rays import RAY_FAMILIES
from training.realism.scans import MeasuredScan

Measures = dict[tuple[int, str], np.ndarray]
"""{(index of a family in FAMILIES, subject): float64 (S, B)}."""
FAMILIES = (*POINT_FAMILIES, *RAY_FAMILIES, *GROUND_FAMILIES)
_NUM_HALVINGS = 40
MIN_SEQUENCES = 3


@dataclass(frozen=True)
class Gap:
    """One measure of the real and of the simulated scans, float64 (S, B) each. Every sequence has the same weight,
    however many of its scans were read."""

    family: Family
    subject: str
    real_SB: np.ndarray
    simulated_SB: np.ndarray

    @property
    def name(self) -> str:
        """Family and subject, such as "intensity: road"; only the family for the subject "all"."""
        return self.family.name if self.subject == "all" else f"{self.family.name}: {self.subject}"

    @property
    def real(self) -> np.ndarray:
        """Mean histogram of the real sequences, float64 (B,)."""
        return self.real_SB.mean(axis=0)

    @property
    def simulated(self) -> np.ndarray:
        """Mean histogram of the simulated sequences, float64 (B,)."""
        return self.simulated_SB.mean(axis=0)

    @property
    def distance(self) -> float:
        """Total variation distance of the distributions, 0 (same) to 1 (no overlap); for other families the mean
        absolute difference of the bins."""
        return float(self._distance(self.real, self.simulated))

    @property
    def floor(self) -> float:
        """Mean distance between two random halves of the real sequences. A smaller gap is within what real scenes
        differ by. NaN if fewer than MIN_SEQUENCES have the subject."""
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
    def excess(self) -> float:
        """`distance` minus `floor`; the report sorts by it."""
        return self.distance - self.floor

    @property
    def wasserstein(self) -> float:
        """First Wasserstein distance, in the family's unit; NaN for categories and where the bins are no
        distribution."""
        if self.family.categories or not self.family.is_distribution:
            return float("nan")
        difference = np.cumsum(self.real - self.simulated)[:-1]
        centres = self.centres
        return float(np.sum(np.abs(difference) * np.diff(centres)))

    @property
    def centres(self) -> np.ndarray:
        """Centre of each bin, (B,): geometric mean of its edges if the family is logarithmic, else arithmetic."""
        edges = self.family.edges
        return np.sqrt(edges[1:] * edges[:-1]) if self.family.is_logarithmic else (edges[1:] + edges[:-1]) / 2

    @property
    def means(self) -> tuple[float, float]:
        """(real, simulated): mean of each distribution, in the family's unit; mean of the bins where they are no
        distribution; NaN for categories."""
        if self.family.categories:
            return float("nan"), float("nan")
        if not self.family.is_distribution:
            return float(self.real.mean()), float(self.simulated.mean())
        return float(self.real @ self.centres), float(self.simulated @ self.centres)

    def _distance(self, first: np.ndarray, second: np.ndarray) -> float:
        difference = np.abs(first - second)
        return difference.sum() / 2 if self.family.is_distribution else difference.mean()


def measure_scans(scans: Iterable[MeasuredScan], progress: Callable[[int], None] | None = None) -> Measures:
    """The histograms of each sequence: means over those of its scans that have the subject. `progress(done)` is called
    after each scan."""
    sums: dict[tuple[int, str], dict[str, tuple[np.ndarray | float, int]]] = {}
    for done, scan in enumerate(scans, start=1):
        for index, family in enumerate(FAMILIES):
            for subject, bins in family.measure(scan, family.edges).items():
                by_sequence = sums.setdefault((index, subject), {})
                before, count = by_sequence.get(scan.sequence, (0.0, 0))
                by_sequence[scan.sequence] = (before + bins, count + 1)
        if progress is not None:
            progress(done)
    return {key: np.stack([total / count for total, count in values.values()]) for key, values in sums.items()}


def gaps_between(real: Measures, simulated: Measures) -> tuple[list[Gap], list[str]]:
    """(gaps, left out) of two results of `measure_scans`. Gaps are sorted by excess, largest first; left out are the
    names of measures that one side lacks, or that fewer than MIN_SEQUENCES real sequences have, with the reason."""
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
