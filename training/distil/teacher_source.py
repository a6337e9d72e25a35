"""Where a teacher's outputs come from: a frozen network or its cache, or the network itself on the enriched scan.

V voxels of the student.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from pvd_core.models import Network
from pvd_core.models.output import SegmentationOutput
from pvd_core.sparse import Sites
from pvd_core.sparse.matching import matching_rows
from pvd_core.voxels import VoxelBatch
from training.data.batches import TrainingBatch
from training.distil.teacher_cache import TeacherCache
from training.distil.views import output_of_views, sees_voxels_of


@dataclass(frozen=True)
class Teaching:
    """What a teacher says about a batch."""

    output: SegmentationOutput
    row_V: torch.Tensor | None = None
    """int64 (V,): for each voxel of the student the row of the teacher's voxel in the same cell, -1 where there is
    none; None: both have the same voxels."""
    sites: Sites | None = None
    """Those of the teacher's voxels, where they are others."""
    shift_B3: torch.Tensor | None = None
    """int64 (B, 3): what is added to the indices of the student's voxels in each scan to get the teacher's, where there
    are others; a whole multiple of the network's coarsest cells."""


class TeacherSource(Protocol):
    """Gives a teacher's outputs for the batches that the student learns from."""

    def teaching(self, batch: TrainingBatch, sites: Sites | None = None) -> Teaching:
        """`sites`: those of the batch's voxels, if they have been built already."""
        ...


class FrozenTeacher:
    """Another network, or several that teach together, which see the points that the student sees; without gradients.
    `cache`: None runs them at every step. `votes`: how often they see each scan, see `views`."""

    def __init__(
        self, networks: Sequence[Network], with_points: bool, cache: TeacherCache | None = None, votes: int = 1
    ) -> None:
        self.networks, self.cache, self._with_points, self._votes = networks, cache, with_points, votes

    def teaching(self, batch: TrainingBatch, sites: Sites | None = None) -> Teaching:
        """As TeacherSource says."""
        if self.cache is None:
            return Teaching(self._run(batch.voxels, batch.points, sites))
        return Teaching(
            self.cache.output(
                batch,
                lambda voxels, points: self._run(voxels, points, sites if voxels is batch.voxels else None),
            )
        )

    @torch.no_grad()
    def _run(self, voxels: VoxelBatch, points: Sequence[np.ndarray], sites: Sites | None) -> SegmentationOutput:
        if sees_voxels_of(self.networks, voxels.grid, self._votes):
            return self.networks[0](voxels, with_points=self._with_points, sites=sites)
        return output_of_views(self.networks, points, voxels, self._votes, self._with_points)


class SharedTeacher:
    """The student itself on the enriched scans of a batch. Its outputs have gradients, for labels teach this pass too;
    who learns from them detaches them."""

    def __init__(self, network: Network) -> None:
        self.network = network

    def teaching(self, batch: TrainingBatch, sites: Sites | None = None) -> Teaching:
        """As TeacherSource says."""
        assert batch.enriched is not None, "a shared teacher needs batches with enriched scans"
        single, network = batch.voxels, self.network
        # Cartesian grids count their cells from each scan's lowest, which an appended point may be.
        voxels = batch.enriched.voxels.aligned_to(single, network.coarsest_cell)
        shift_B3 = single.lowest_B3 - voxels.lowest_B3
        own_sites = network.sites_of(voxels)
        output = network(voxels, with_points=False, sites=own_sites)
        row_V = matching_rows(sites if sites is not None else network.sites_of(single), own_sites, shift_B3)
        return Teaching(output, row_V, own_sites, shift_B3)
