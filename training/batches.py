"""Training batches: which scans, changed how, as a pure function of (seed, position in the stream).

The stream is epoch after epoch, each a permutation of the scans; batch k takes the positions k*B .. k*B + B-1. So a
run that resumes at any batch sees what an unbroken one sees, whichever thread prepares it.
"""

import functools

import numpy as np
import torch

from pvd_core.errors import UserError
from pvd_core.labels import NUM_CLASSES
from pvd_core.measured import is_measured, measured_points
from pvd_core.voxels import majority_labels, voxelise
from training.augment import augment

# Keep the two uses of the seed apart.
_ORDER, _AUGMENTATION = 0, 1


class TrainingBatch:
    """A VoxelBatch and its labels. No dataclass on purpose: Fabric rebuilds dataclasses that pass through it."""

    def __init__(self, voxels, voxel_labels_V, point_labels_P):
        self.voxels = voxels  # VoxelBatch
        self.voxel_labels_V = voxel_labels_V  # int64 (V,)
        self.point_labels_P = point_labels_P  # int64 (P,)


class BatchStream:
    """`batch(number)` for any number >= 0, from a ScanFolder's scans of the numbers `indices`."""

    def __init__(self, folder, indices, batch_size, seed, augmentation, grid, device):
        self.folder, self.indices, self.batch_size = folder, list(indices), batch_size
        self.seed, self.augmentation, self.grid, self.device = seed, augmentation, grid, device

    def batch(self, number):
        """TrainingBatch on the stream's device."""
        positions = range(number * self.batch_size, (number + 1) * self.batch_size)
        return make_batch([self._example(position) for position in positions], self.grid, self.device)

    def epoch_of(self, number):
        """Epoch, as a fraction, at the start of batch `number`."""
        return number * self.batch_size / len(self.indices)

    def scan_names(self, number):
        """Names of the scans of a batch, for messages."""
        positions = range(number * self.batch_size, (number + 1) * self.batch_size)
        return [self.folder.scans[self._index(position)].name for position in positions]

    def _index(self, position):
        epoch, place = divmod(position, len(self.indices))
        return self.indices[_epoch_order(self.seed, epoch, len(self.indices))[place]]

    def _example(self, position):
        index = self._index(position)
        points, labels = usable_points(*self.folder.labelled_points(index))
        if len(points) < 2:
            raise UserError(
                f"scan {self.folder.scans[index].points_path} has {len(points)} usable points; leave it out"
            )
        generator = np.random.default_rng((self.seed, _AUGMENTATION, position // len(self.indices), index))
        return augment(points, labels, generator, self.augmentation)


@functools.lru_cache(maxsize=8)
def _epoch_order(seed, epoch, num_scans):
    return np.random.default_rng((seed, _ORDER, epoch)).permutation(num_scans)


def usable_points(points, labels):
    """Points and labels of what the Segmenter would label: the measured points."""
    measured_N = is_measured(points)
    return measured_points(points, measured_N), labels[measured_N]


def make_batch(examples, grid, device="cpu"):
    """TrainingBatch of (points float32 (N, 4), labels (N,)) pairs."""
    voxels = voxelise([torch.from_numpy(points).to(device) for points, _ in examples], grid)
    labels = np.concatenate([labels for _, labels in examples]).astype(np.int64)
    point_labels_P = torch.from_numpy(labels).to(device)
    voxel_labels_V = majority_labels(point_labels_P, voxels.point_to_voxel_P, voxels.num_voxels, NUM_CLASSES)
    return TrainingBatch(voxels, voxel_labels_V, point_labels_P)
