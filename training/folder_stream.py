"""The scans of a folder as an endless stream: epoch after epoch, each a permutation of them."""

import functools

import numpy as np

from pvd_core.errors import UserError
from pvd_core.measured import is_measured, measured_points
from training.augmentation.objects import ObjectBank, objects_in

# Keeps this use of the seed apart from those in `batches`.
_ORDER = 0


class FolderStream:
    """What a BatchStream takes its scans from; every method is a pure function of its arguments, from any thread.

    `folder`: ScanFolder; `indices`: numbers of its scans that are used; `bank_scans`: see MixingConfig.
    """

    def __init__(self, folder, indices, seed, bank_scans=200):
        self.folder, self.indices, self.seed = folder, list(indices), seed
        self._bank_scans = bank_scans

    def scan(self, position):
        """(points float32 (N, 4), class ids uint8 (N,)): what the Segmenter would label of the scan at `position`."""
        return self._usable_scan(self.identity(position)[1])

    def partner(self, position, generator):
        """Another scan, drawn from all, to be mixed with the one at `position`."""
        return self._usable_scan(self.indices[generator.integers(len(self.indices))])

    def identity(self, position):
        """(epoch, scan number): two whole numbers that no other position has."""
        epoch, place = divmod(position, len(self.indices))
        return epoch, self.indices[_epoch_order(self.seed, epoch, len(self.indices))[place]]

    def name(self, position):
        """For messages."""
        return self.folder.scans[self.identity(position)[1]].name

    def epoch_of(self, position):
        """Epoch, as a fraction."""
        return position / len(self.indices)

    def objects(self, position):
        """ObjectBank of rare objects to paste into the scan at `position`; the first call takes some seconds."""
        return self._bank

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


def usable_points(points, *labels):
    """Points and labels (one array or several) of what the Segmenter would label: the measured points."""
    measured_N = is_measured(points)
    return measured_points(points, measured_N), *(array[measured_N] for array in labels)
