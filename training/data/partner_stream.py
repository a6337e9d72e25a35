"""Scans that are mixed with those of another data set."""

from typing import Any

import numpy as np

from pvd_core.taxonomy import Taxonomy
from training.data.folder_stream import FolderStream


class PartnerStream:
    """A ScanStream of the scans of `own`; what is mixed in, scans and objects, is of `partners`."""

    def __init__(self, own: FolderStream, partners: FolderStream) -> None:
        self._own, self._partners = own, partners
        self.scan, self.identity, self.name = own.scan, own.identity, own.name
        self.epoch_of, self.num_scans = own.epoch_of, own.num_scans
        self.partner, self.objects = partners.partner, partners.objects

    @property
    def taxonomy(self) -> Taxonomy:
        """Of the labels."""
        return self._own.taxonomy

    def class_counts(self) -> np.ndarray:
        """int64 (C,): of both data sets together."""
        return self._own.class_counts() + self._partners.class_counts()

    def describe(self) -> str:
        """One line: the scans and what is mixed in."""
        return f"{self._own.describe()}; mixed with {self._partners.describe()}"

    def remarks(self) -> list[str]:
        """Of both."""
        return [*self._own.remarks(), *self._partners.remarks()]

    def facts(self) -> dict[str, Any]:
        """As of the scans, and "made_of" names the partners too."""
        own, partners = self._own.facts(), self._partners.facts()
        return {**own, "made_of": [*own.get("made_of", []), partners]}

    def fingerprint(self) -> str:
        """Of both."""
        return f"{self._own.fingerprint()} mixed with {self._partners.fingerprint()}"

    def close(self) -> None:
        """Nothing works in the background."""
