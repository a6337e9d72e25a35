"""Training batches: which scans, changed how, as a pure function of (seed, position in the stream).

Batch k takes the positions k*B .. k*B + B-1 of a stream of scans. So a resumed run sees the same batches as one that
was not interrupted, whichever thread prepares them, and several ranks together see what one process sees.

B scans of a batch, N points of a scan, P points and V voxels of a batch.
"""

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from pvd_core.borders.errors import naming_scan
from pvd_core.voxels import VoxelBatch, Voxeliser, majority_labels
from training.data.augment import AugmentationConfig, augment
from training.data.example import Example
from training.data.mix import MixingConfig, mix
from training.data.scan_stream import LEAST_LEARNT, ScanStream

# Keep the uses of the seed apart; 0 is the order of the scans.
_AUGMENTATION, _MIXING, _THINNING = 1, 2, 3


@dataclass(frozen=True)
class Share:
    """What one rank takes of each batch."""

    rank: int = 0
    num_ranks: int = 1

    def of(self, items: range) -> range:
        """This rank's part of `items`, whose number is a multiple of the number of ranks."""
        size = len(items) // self.num_ranks
        return items[self.rank * size : (self.rank + 1) * size]


class TrainingBatch:
    """The voxels of some scans and their labels. Not a dataclass, because Fabric rebuilds dataclasses that pass through
    it."""

    def __init__(
        self,
        voxels: VoxelBatch,
        voxel_labels_V: torch.Tensor,
        point_labels_P: torch.Tensor,
        instances_P: torch.Tensor,
        is_current_P: torch.Tensor,
        number: int = 0,
        first_scan: int = 0,
        points: Sequence[np.ndarray] = (),
    ) -> None:
        """Labels are class ids, int64, 0 for unlabelled. `instances_P`: int64, number of the object in its scan, 0 for
        none; `is_current_P`: bool, false for points of past scans. `points`: float32 (N, 4 or 5) of each scan, as they
        came into the voxels."""
        self.voxels = voxels
        self.voxel_labels_V = voxel_labels_V
        self.point_labels_P = point_labels_P
        self.instances_P = instances_P
        self.is_current_P = is_current_P
        self.number = number  # in its stream; what is drawn at random for a batch depends on it
        self.first_scan = first_scan  # place of the first scan in the batch of all ranks
        self.enriched: TrainingBatch | None = None
        """The same scans with what earlier scans saw of their objects, for M2SKD."""
        self.points = points

    @functools.cached_property
    def digests(self) -> tuple[str, ...]:
        """For each scan a text that differs for other points. Takes about a millisecond a scan."""
        return tuple(hashlib.sha256(np.ascontiguousarray(points).data).hexdigest()[:32] for points in self.points)


class BatchStream:
    """The batches of a run: `batch(number)` for any number >= 0.

    `batch_size`: scans of all ranks together; `share`: what this rank takes of each batch.
    """

    def __init__(
        self,
        scans: ScanStream,
        batch_size: int,
        seed: int,
        augmentation: AugmentationConfig,
        mixing: MixingConfig,
        grid: Voxeliser,
        device: torch.device | str,
        share: Share = Share(),
        max_voxels: int | None = None,
        with_enriched: bool = False,
    ) -> None:
        """`with_enriched`: points of the stream that are not current enrich its scans: batches have none of them, and
        `enriched` batches all."""
        self.scans, self.batch_size, self.seed = scans, batch_size, seed
        self.augmentation, self.mixing, self.grid, self.device = augmentation, mixing, grid, device
        self.share, self.max_voxels = share, max_voxels
        self._make_batch = make_enriched_batch if with_enriched else make_batch

    def batch(self, number: int) -> TrainingBatch:
        """TrainingBatch of this rank's share, on the stream's device."""
        own_positions = self.share.of(self._positions(number))
        with naming_scan(", ".join(map(self.scans.name, own_positions))):
            examples = [self._example(position) for position in own_positions]
            first_scan = own_positions[0] - number * self.batch_size
            return self._make_batch(examples, self.grid, self.device, number, first_scan)

    def epoch_of(self, number: int) -> float:
        """Number of epochs done before batch `number`, with its fraction."""
        return self.scans.epoch_of(number * self.batch_size)

    def scan_names(self, number: int) -> list[str]:
        """Names of the scans of a batch, of all ranks, for messages."""
        return [self.scans.name(position) for position in self._positions(number)]

    def _positions(self, number: int) -> range:
        return range(number * self.batch_size, (number + 1) * self.batch_size)

    def _example(self, position: int) -> Example:
        scan, identity = self.scans.scan(position), self.scans.identity(position)
        generator = np.random.default_rng((self.seed, _MIXING, *identity))
        bank = self.scans.objects(position) if self.mixing.paste_objects else None
        taxonomy = self.scans.taxonomy
        example = mix(scan, lambda random: self.scans.partner(position, random), bank, generator, self.mixing, taxonomy)
        generator = np.random.default_rng((self.seed, _AUGMENTATION, *identity))
        example = augment(example, generator, self.augmentation, taxonomy)
        if self.max_voxels is not None:
            generator = np.random.default_rng((self.seed, _THINNING, *identity))
            example = _thinned(example, self.grid, self.max_voxels, generator)
        # The norms need more than one point. Mixing and dropping can leave fewer of a tiny scan.
        return example if example.is_current.sum() >= LEAST_LEARNT else scan


def _thinned(example: Example, grid: Voxeliser, max_voxels: int, generator: np.random.Generator) -> Example:
    """The points of a random choice of voxels, where there are more than `max_voxels`."""
    voxels = grid.voxelise([torch.from_numpy(example.points)])
    if voxels.num_voxels <= max_voxels:
        return example
    is_kept_V = np.zeros(voxels.num_voxels, bool)
    is_kept_V[generator.choice(voxels.num_voxels, max_voxels, replace=False)] = True
    return example.chosen(is_kept_V[voxels.point_to_voxel_P.numpy()])


def make_batch(
    examples: Sequence[Example],
    grid: Voxeliser,
    device: torch.device | str = "cpu",
    number: int = 0,
    first_scan: int = 0,
) -> TrainingBatch:
    """TrainingBatch of labelled scans, on `device`. A voxel's label is the majority of its points' labels, whether they
    are of the current scan or of past ones."""
    voxels = grid.voxelise([torch.from_numpy(example.points).to(device) for example in examples])
    whole = Example.joined(examples)
    labels = whole.labels.astype(np.int64)
    point_labels_P = torch.from_numpy(labels).to(device)
    num_labels = int(labels.max(initial=0)) + 1
    voxel_labels_V = majority_labels(point_labels_P, voxels.point_to_voxel_P, voxels.num_voxels, num_labels)
    return TrainingBatch(
        voxels,
        voxel_labels_V,
        point_labels_P,
        torch.from_numpy(whole.instances.astype(np.int64)).to(device),
        torch.from_numpy(whole.is_current).to(device),
        number,
        first_scan,
        [example.points for example in examples],
    )


def make_enriched_batch(
    examples: Sequence[Example],
    grid: Voxeliser,
    device: torch.device | str = "cpu",
    number: int = 0,
    first_scan: int = 0,
) -> TrainingBatch:
    """TrainingBatch of the current points of `examples`, whose `enriched` is that of all their points."""
    current = [example.chosen(example.is_current) for example in examples]
    batch = make_batch(current, grid, device, number, first_scan)
    batch.enriched = make_batch(examples, grid, device, number, first_scan)
    return batch
