"""M2SKD in training: each step runs the network on the single scans and, with the same weights, on the enriched ones.

The norms see both passes. V voxels of the single pass, W of the enriched one, P points, B scans.
"""

import contextlib
from typing import Protocol

import torch
from torch import nn

from pvd_core.borders.errors import UserError
from pvd_core.losses.multi_to_single import MultiToSingle, MultiToSingleLossConfig, TwoPasses
from pvd_core.losses.multi_to_single.passes import LevelFeatures
from pvd_core.models import Network
from pvd_core.models.output import SegmentationOutput
from pvd_core.models.recorded import recorded
from pvd_core.sparse import Sites, SparseTensor
from pvd_core.sparse.matching import matching_rows
from pvd_core.taxonomy import Taxonomy
from training.data.batches import TrainingBatch
from training.distil.draws import MULTI_TO_SINGLE, generator_for
from training.distil.teacher_source import SharedTeacher, Teaching

_INSTANCE_BITS, _CLASS_BITS = 24, 8


class Learner(Protocol):
    """The objective of the single pass: SegmentationObjective, or DistillationObjective with another teacher."""

    @property
    def model(self) -> Network:
        """What learns."""
        ...

    def learn(self, batch: TrainingBatch, sites: Sites) -> tuple[SegmentationOutput, dict[str, torch.Tensor]]:
        """(the network's output, {term: scalar loss})."""
        ...


class MultiToSingleObjective(nn.Module):
    """The terms of the single pass and those of M2SKD: TrainingBatch with enriched scans -> {term: scalar loss}."""

    is_hard_C: torch.Tensor

    def __init__(self, single: Learner, config: MultiToSingleLossConfig, taxonomy: Taxonomy, seed: int) -> None:
        """`taxonomy`: that of the labels. UserError for settings that the network does not allow."""
        super().__init__()
        self.single, self.seed = single, seed
        self._method, self._source = MultiToSingle(config), SharedTeacher(single.model)
        self.register_buffer("is_hard_C", torch.from_numpy(config.is_hard_C(taxonomy)), persistent=False)
        self._feature_stage = _feature_stage(single.model, config.feature_stage) if config.feature else None

    def forward(self, batch: TrainingBatch) -> dict[str, torch.Tensor]:
        """{term: scalar loss}, each already times its factor; their sum is what is minimised."""
        model, stage = self.single.model, self._feature_stage
        sites = model.sites_of(batch.voxels)
        with contextlib.ExitStack() as stack:
            levels = stack.enter_context(recorded(model, stage)) if stage is not None else []
            output, terms = self.single.learn(batch, sites)
            teaching = self._source.teaching(batch, sites)
        # Losses in float32 whatever the network computes in.
        with torch.autocast(device_type=batch.point_labels_P.device.type, enabled=False):
            return {**terms, **self._method(self._passes(batch, sites, output, teaching, levels))}

    def _passes(
        self,
        batch: TrainingBatch,
        sites: Sites,
        output: SegmentationOutput,
        teaching: Teaching,
        levels: list[SparseTensor],
    ) -> TwoPasses:
        enriched, row_V, enriched_sites, shift_B3 = batch.enriched, teaching.row_V, teaching.sites, teaching.shift_B3
        assert enriched is not None
        assert row_V is not None
        assert enriched_sites is not None
        assert shift_B3 is not None
        return TwoPasses(
            output,
            teaching.output,
            batch.voxel_labels_V,
            enriched.voxel_labels_V,
            row_V,
            matching_rows(enriched_sites, sites, -shift_B3),
            self.is_hard_C,
            instances_of_voxels(batch) if self._method.config.instance_affinity else None,
            _level(levels, shift_B3) if levels else None,
            generator_for(MULTI_TO_SINGLE, self.seed, batch.number),
        )


def instances_of_voxels(batch: TrainingBatch) -> torch.Tensor:
    """A number for the object of each voxel, int64 (V,), different for each object of the batch of all ranks; 0 where
    no point with the voxel's label belongs to an object."""
    voxels = batch.voxels
    voxel_P = voxels.point_to_voxel_P
    label_P, scan_P = batch.point_labels_P, voxels.coords_V4[voxel_P, 0] + batch.first_scan
    number_P = (scan_P << _CLASS_BITS | label_P) << _INSTANCE_BITS | batch.instances_P
    is_counted_P = (batch.instances_P > 0) & (label_P == batch.voxel_labels_V[voxel_P])
    # Hardly ever do points of several objects of a class share a voxel; then it is of the last one.
    none_V = torch.zeros_like(batch.voxel_labels_V)
    return none_V.scatter_reduce(0, voxel_P, torch.where(is_counted_P, number_P, 0), "amax")


def _level(levels: list[SparseTensor], shift_B3: torch.Tensor) -> LevelFeatures:
    single, enriched = levels
    rows = matching_rows(_sites(enriched), _sites(single), -shift_B3)
    return LevelFeatures(single.features_VC, enriched.features_VC, rows)


def _sites(tensor: SparseTensor) -> Sites:
    assert isinstance(tensor.sites, Sites)
    return tensor.sites


def _feature_stage(network: Network, name: str | None) -> str:
    """The stage whose features are compared; UserError where the network has none of this name, or none by default."""
    stage = name if name is not None else network.half_resolution_stage
    if stage is None:
        raise UserError(
            "multi_to_single.loss.feature compares features at half resolution, but the network has no stage there: "
            f"set multi_to_single.loss.feature_stage to one of {', '.join(network.stages)}, or feature to 0"
        )
    with recorded(network, stage):
        return stage
