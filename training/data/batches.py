"""Training batches: which scans, changed how, as a pure function of (seed, position in the stream).

Batch k takes the positions k*B .. k*B + B-1 of a stream of scans. So a run that resumes at any batch sees what an
unbroken one sees, whichever thread prepares it, and several ranks together see what one process sees.
"""

import functools
import hashlib
from dataclasses import dataclass

import numpy as np
import torch

from pvd_core.taxonomy import NUM_CLASSES
from pvd_core.voxels import majority_labels, voxelise
from training.data.augment import augment
from training.data.mix import mix

# Keep the uses of the seed apart; 0 is the order of the scans.
_AUGMENTATION, _MIXING = 1, 2


@dataclass(frozen=True)
class Share:
    """What one rank takes of each batch."""

    rank: int = 0
    num_ranks: int = 1

    def of(self, items):
        """A slice of a sequence whose length is a multiple of the number of ranks."""
        size = len(items) // self.num_ranks
        return items[self.rank * size : (self.rank + 1) * size]


class TrainingBatch:
    """A VoxelBatch and its labels. No dataclass on purpose: Fabric rebuilds dataclasses that pass through it."""

    def __init__(self, voxels, voxel_labels_V, point_labels_P, number=0, first_scan=0, points=()):
        self.voxels = voxels  # VoxelBatch
        self.voxel_labels_V = voxel_labels_V  # int64 (V,)
        self.point_labels_P = point_labels_P  # int64 (P,)
        self.number = number  # in its stream: what is drawn at random for a batch depends on it
        self.first_scan = first_scan  # its place in the batch of all ranks, of which this is a share
        self._points = points  # float32 (N, 4) of each scan

    @functools.cached_property
    def digests(self):
        """Text for each scan that no other points have. About a millisecond a scan, so not before it is asked for."""
        return tuple(hashlib.sha256(np.ascontiguousarray(points)).hexdigest()[:32] for points in self._points)


class BatchStream:
    """`batch(number)` for any number >= 0, from a FolderStream or SimulatedStream `scans`.

    `batch_size` scans of all ranks together; `share` is what this rank takes of each batch.
    """

    def __init__(self, scans, batch_size, seed, augmentation, mixing, grid, device, share=Share()):
        self.scans, self.batch_size, self.seed = scans, batch_size, seed
        self.augmentation, self.mixing, self.grid, self.device = augmentation, mixing, grid, device
        self.share = share

    def batch(self, number):
        """TrainingBatch of this rank's share, on the stream's device."""
        own_positions = self.share.of(self._positions(number))
        examples = [self._example(position) for position in own_positions]
        return make_batch(examples, self.grid, self.device, number, own_positions[0] - number * self.batch_size)

    def epoch_of(self, number):
        """Epoch, as a fraction, at the start of batch `number`."""
        return self.scans.epoch_of(number * self.batch_size)

    def scan_names(self, number):
        """Names of the scans of a batch, of all ranks, for messages."""
        return [self.scans.name(position) for position in self._positions(number)]

    def _positions(self, number):
        return range(number * self.batch_size, (number + 1) * self.batch_size)

    def _example(self, position):
        scan, identity = self.scans.scan(position), self.scans.identity(position)
        generator = np.random.default_rng((self.seed, _MIXING, *identity))
        bank = self.scans.objects(position) if self.mixing.paste_objects else None
        points, labels = mix(scan, lambda random: self.scans.partner(position, random), bank, generator, self.mixing)
        return augment(points, labels, np.random.default_rng((self.seed, _AUGMENTATION, *identity)), self.augmentation)


def make_batch(examples, grid, device="cpu", number=0, first_scan=0):
    """TrainingBatch of (points float32 (N, 4), labels (N,)) pairs."""
    voxels = voxelise([torch.from_numpy(points).to(device) for points, _ in examples], grid)
    labels = np.concatenate([labels for _, labels in examples]).astype(np.int64)
    point_labels_P = torch.from_numpy(labels).to(device)
    voxel_labels_V = majority_labels(point_labels_P, voxels.point_to_voxel_P, voxels.num_voxels, NUM_CLASSES)
    points = tuple(points for points, _ in examples)
    return TrainingBatch(voxels, voxel_labels_V, point_labels_P, number, first_scan, points)
