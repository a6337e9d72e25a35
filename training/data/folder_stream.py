"""The scans of a folder as an endless stream: epoch after epoch, each a permutation of them."""

import functools
import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np

from pvd_core.borders.errors import UserError
from pvd_core.borders.wording import counted
from pvd_core.clouds.history import PastScans
from pvd_core.taxonomy import Taxonomy
from training.data.augmentation.objects import ObjectBank, objects_in
from training.data.class_weights import count_classes
from training.data.dataset import ScanFolder, origin_of
from training.data.example import Example
from training.data.fused_scans import FusedScans
from training.data.instances.past import PastObjects
from training.data.scan_stream import LEAST_LEARNT

# Keeps this use of the seed apart from those in `batches`.
_ORDER = 0

# Counting every label of the full data set takes minutes; a sample gives the same weights.
_MAX_SCANS_COUNTED = 1000


class FolderStream:
    """A ScanStream of the scans `indices` of a ScanFolder, but those with the names `left_out`. `bank_scans`: see
    MixingConfig; `num_versions`: see TrainConfig.scan_versions; `past`: the past scans behind each."""

    def __init__(
        self,
        folder: ScanFolder,
        indices: Iterable[int],
        seed: int,
        bank_scans: int = 200,
        num_versions: int | None = None,
        left_out: Iterable[str] = (),
        past: PastScans = PastScans(),  # noqa: B008 - frozen
        enrichment: PastObjects | None = None,
    ) -> None:
        """`enrichment`: what earlier scans saw of a scan's objects, put behind it, for M2SKD."""
        self._left_out = sorted(left_out)
        self.folder, self.seed = folder, seed
        self.indices = [index for index in indices if folder.scans[index].name not in self._left_out]
        self._bank_scans, self._num_versions = bank_scans, num_versions
        self._past, self._scans = past, FusedScans(folder, past)
        self._enrichment = enrichment

    @property
    def taxonomy(self) -> Taxonomy:
        """Of the labels."""
        return self.folder.taxonomy

    def scan(self, position: int) -> Example:
        """The measured points of the scan at `position`; UserError where it has fewer than two."""
        return self._usable_scan(self.identity(position)[1])

    def partner(self, position: int, generator: np.random.Generator) -> Example:
        """Another scan, drawn from all, to be mixed with the one at `position`."""
        return self._usable_scan(self.indices[generator.integers(len(self.indices))])

    def identity(self, position: int) -> tuple[int, int]:
        """(version, scan number). The version is the epoch, or with `num_versions` the epoch modulo that number, so
        that the same versions come again."""
        epoch, place = divmod(position, len(self.indices))
        version = epoch if self._num_versions is None else epoch % self._num_versions
        return version, self.indices[_epoch_order(self.seed, epoch, len(self.indices))[place]]

    def name(self, position: int) -> str:
        """Sequence and frame, such as 08/000123."""
        return self.folder.scans[self.identity(position)[1]].name

    def epoch_of(self, position: int) -> float:
        """Passes over the scans that are done before `position`, with the fraction of the present one."""
        return position / len(self.indices)

    def objects(self, position: int) -> ObjectBank:
        """The same bank for all positions; the first call takes some seconds."""
        return self._bank

    def class_counts(self) -> np.ndarray:
        """int64 (C,): number of points of each class over the scans, or over every n-th one if there are many."""
        stride = -(-len(self.indices) // _MAX_SCANS_COUNTED)
        return count_classes(self.folder, self.indices[::stride])

    def num_scans(self) -> int:
        """Scans of an epoch."""
        return len(self.indices)

    def describe(self) -> str:
        """One line: the scans of the folder, how many of them are used, and what is behind each."""
        every = f", every {self._past.stride}." if self._past.stride > 1 else ""
        behind = f", {counted(self._past.past, 'past scan')} behind each{every}" if self._past.past else ""
        behind += ", with their time" if self._past.time else ""
        return f"{self.folder.describe()}, {len(self.indices)} used{behind}"

    def remarks(self) -> list[str]:
        """What is to be said of the poses by which past scans are put behind each."""
        return self._scans.remarks

    def facts(self) -> dict[str, Any]:
        """The keys "dataset" (name of its folder), "sequences", "num_scans", and "made_of" where that is known."""
        made_of = origin_of(self.folder.root)
        return {
            "dataset": self.folder.root.resolve().name,
            "sequences": list(self.folder.sequences),
            "num_scans": len(self.indices),
            **({"made_of": made_of} if made_of else {}),
        }

    def fingerprint(self) -> str:
        """That of the folder and, where scans are left out, of their names. Past scans are a setting of the run, which
        is compared too."""
        of_folder, left_out = self.folder.fingerprint(), " ".join(self._left_out)
        return hashlib.sha256(f"{of_folder} without {left_out}".encode()).hexdigest() if left_out else of_folder

    def close(self) -> None:
        """Does nothing: scans are read when they are asked for."""

    @functools.cached_property
    def _bank(self) -> ObjectBank:
        bank = ObjectBank()
        num_read = min(self._bank_scans, len(self.indices))
        for i in range(num_read):
            index = self.indices[i * len(self.indices) // num_read]
            scan = self.folder.example(index)
            bank.add(objects_in(self._past.aged(scan.points, 0), scan.labels, scan.instances, self.taxonomy))
        return bank

    def _usable_scan(self, index: int) -> Example:
        example = self._scans.example(index)
        if (num_current := np.count_nonzero(example.is_current)) < LEAST_LEARNT:
            raise UserError(
                f"scan {self.folder.scans[index].points_path} has {num_current} usable points; leave it out"
            )
        return example if self._enrichment is None else self._enrichment.onto(example, index)


@functools.lru_cache(maxsize=8)
def _epoch_order(seed: int, epoch: int, num_scans: int) -> np.ndarray:
    return np.random.default_rng((seed, _ORDER, epoch)).permutation(num_scans)
