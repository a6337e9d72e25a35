"""What training takes its scans from: an endless stream, in which each position holds one labelled scan.

FolderStream reads the scans of a data set, SimulatedStream makes new ones.
"""

from typing import Any, Protocol

import numpy as np

from pvd_core.taxonomy import Taxonomy
from training.data.augmentation.objects import ObjectBank
from training.data.example import Example

LEAST_LEARNT = 2
"""Measured points of a scan that can be trained on."""


class ScanStream(Protocol):
    """Every method may be called from any thread. Positions are whole numbers from 0 on; what lies at one depends on
    the settings and the position alone."""

    @property
    def taxonomy(self) -> Taxonomy:
        """Of the labels."""
        ...

    def scan(self, position: int) -> Example:
        """The measured points of the scan at `position`."""
        ...

    def partner(self, position: int, generator: np.random.Generator) -> Example:
        """Another scan, drawn with `generator`, to be mixed with the one at `position`."""
        ...

    def identity(self, position: int) -> tuple[int, int]:
        """Two whole numbers from which, with the seed of the run, all that is random about the scan follows."""
        ...

    def name(self, position: int) -> str:
        """Name of the scan, for messages."""
        ...

    def epoch_of(self, position: int) -> float:
        """Number of epochs done before `position`, with its fraction."""
        ...

    def objects(self, position: int) -> ObjectBank:
        """Objects of rare classes that may be pasted into the scan at `position`."""
        ...

    def class_counts(self) -> np.ndarray:
        """int64 (C,): number of points of each of the C classes, over a sample of the scans."""
        ...

    def num_scans(self) -> int | None:
        """Scans of an epoch; None for a stream without epochs."""
        ...

    def describe(self) -> str:
        """One line: where the scans come from."""
        ...

    def facts(self) -> dict[str, Any]:
        """What a weights file says about the scans, JSON-able: "dataset", "sequences" and more."""
        ...

    def fingerprint(self) -> str:
        """Text that changes when some position would hold another scan."""
        ...

    def close(self) -> None:
        """Ends what works in the background."""
        ...
