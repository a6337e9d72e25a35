"""The scans of a folder as an endless stream: epoch after epoch, each a permutation of them."""

import functools

import numpy as np

from pvd_core.borders.errors import UserError
from training.data.augmentation.objects import ObjectBank, objects_in
from training.data.class_weights import count_classes
from training.data.dataset import usable_points

# Keeps this use of the seed apart from those in `batches`.
_ORDER = 0

# Counting every label of the full data set takes minutes; a sample gives the same weights.
_MAX_SCANS_COUNTED = 1000


class FolderStream:
    """What a BatchStream takes its scans from; every method is a pure function of its arguments, from any thread.

    `folder`: ScanFolder; `indices`: numbers of its scans that are used; `bank_scans`: see MixingConfig;
    `num_versions`: see TrainConfig.scan_versions.
    """

    def __init__(self, folder, indices, seed, bank_scans=200, num_versions=None):
        self.folder, self.indices, self.seed = folder, list(indices), seed
        self._bank_scans, self._num_versions = bank_scans, num_versions

    def scan(self, position):
        """(points float32 (N, 4), class ids uint8 (N,)): what the Segmenter would label of the scan at `position`."""
        return self._usable_scan(self.identity(position)[1])

    def partner(self, position, generator):
        """Another scan, drawn from all, to be mixed with the one at `position`."""
        return self._usable_scan(self.indices[generator.integers(len(self.indices))])

    def identity(self, position):
        """(version, scan number): two whole numbers of which all that is random about a scan is a function. The version
        is the epoch, so no other position has the same two, unless versions are to come again."""
        epoch, place = divmod(position, len(self.indices))
        version = epoch if self._num_versions is None else epoch % self._num_versions
        return version, self.indices[_epoch_order(self.seed, epoch, len(self.indices))[place]]

    def name(self, position):
        """For messages."""
        return self.folder.scans[self.identity(position)[1]].name

    def epoch_of(self, position):
        """Epoch, as a fraction."""
        return position / len(self.indices)

    def objects(self, position):
        """ObjectBank of rare objects to paste into the scan at `position`; the first call takes some seconds."""
        return self._bank

    def class_counts(self):
        """int64 (20,): points a class over the scans, or an even choice of them if there are many."""
        stride = -(-len(self.indices) // _MAX_SCANS_COUNTED)
        return count_classes(self.folder, self.indices[::stride])

    def num_scans(self):
        """Scans of an epoch."""
        return len(self.indices)

    def describe(self):
        return f"{self.folder.describe()}, {len(self.indices)} used"

    def facts(self):
        """What a weights file says about the scans."""
        return {
            "dataset": self.folder.root.resolve().name,
            "sequences": list(self.folder.sequences),
            "num_scans": len(self.indices),
        }

    def fingerprint(self):
        """Text that changes when the same position would hold another scan."""
        return self.folder.fingerprint()

    def close(self):
        """Nothing to stop: scans are read when they are asked for."""

    @functools.cached_property
    def _bank(self):
        bank = ObjectBank()
        num_read = min(self._bank_scans, len(self.indices))
        for i in range(num_read):
            index = self.indices[i * len(self.indices) // num_read]
            bank.add(objects_in(*usable_points(*self.folder.labelled_instances(index))))
        return bank

    def _usable_scan(self, index):
        points, labels = usable_points(*self.folder.labelled_points(index))
        if len(points) < 2:
            raise UserError(
                f"scan {self.folder.scans[index].points_path} has {len(points)} usable points; leave it out"
            )
        return points, labels


@functools.lru_cache(maxsize=8)
def _epoch_order(seed, epoch, num_scans):
    return np.random.default_rng((seed, _ORDER, epoch)).permutation(num_scans)
