"""Affinities of M2SKD: both passes shall agree on which voxels of a hard class, or of one object, are alike.

V voxels, N of them compared, C class scores.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from pvd_core.losses.affinity import unit_rows
from pvd_core.losses.zero import zero_of
from pvd_core.runtime.precision import widened
from pvd_core.runtime.ranks import rows_of_all_ranks


@dataclass(frozen=True)
class HardVoxels:
    """The voxels of hard classes that both passes have, of all ranks. The enriched pass's scores have no gradient."""

    single_NC: torch.Tensor
    enriched_NC: torch.Tensor
    labels_N: torch.Tensor  # int64
    instance_N: torch.Tensor  # int64, 0 = none

    @staticmethod
    def of(
        single_logits_VC: torch.Tensor,
        enriched_logits_WC: torch.Tensor,
        enriched_row_V: torch.Tensor,
        labels_V: torch.Tensor,
        is_hard_C: torch.Tensor,
        instance_V: torch.Tensor | None = None,
    ) -> "HardVoxels":
        """Those of a batch. Fields as in TwoPasses."""
        rows_N = (is_hard_C[labels_V] & (enriched_row_V >= 0)).nonzero().squeeze(1)
        instance_N = torch.zeros_like(rows_N) if instance_V is None else instance_V[rows_N]
        return HardVoxels(
            rows_of_all_ranks(widened(single_logits_VC[rows_N])),
            rows_of_all_ranks(widened(enriched_logits_WC.detach()[enriched_row_V[rows_N]])),
            rows_of_all_ranks(labels_V[rows_N]),
            rows_of_all_ranks(instance_N),
        )

    def drawn(self, most: int, generator: torch.Generator | None) -> list[torch.Tensor]:
        """For each class with more than one voxel the numbers of its voxels, int64, ascending; `most` of them drawn at
        random where there are more. Drawn on the CPU, so that every device draws the same."""
        rows_of_classes = []
        for label in torch.unique(self.labels_N).tolist():
            rows = (self.labels_N == label).nonzero().squeeze(1)
            if len(rows) > most:
                chosen = torch.randperm(len(rows), generator=generator)[:most].sort().values
                rows = rows[chosen.to(rows.device)]
            if len(rows) > 1:
                rows_of_classes.append(rows)
        return rows_of_classes


def class_affinity(voxels: HardVoxels, rows_of_classes: list[torch.Tensor]) -> torch.Tensor:
    """Scalar: sum over classes of mean |A1 - A2|, where A1 and A2 are the matrices of cosine similarities between the
    class scores of the class's voxels in the single and the enriched pass; 0 without classes.

    `rows_of_classes`: from `HardVoxels.drawn(most, ...)`. Memory: in float32 at most 4 most^2 bytes a class are kept
    for the backward pass, 17 MB with 2048 rows, and three more matrices of that size exist for a moment.
    """
    total = zero_of(voxels.single_NC)
    for rows in rows_of_classes:
        total = total + _difference(voxels, rows)
    return total


def instance_affinity(voxels: HardVoxels, rows_of_classes: list[torch.Tensor]) -> torch.Tensor:
    """Scalar: the same with the matrices of each object instead of those of its class: sum over classes of the mean
    over the class's objects with more than one voxel. It takes at most the memory of `class_affinity`."""
    total = zero_of(voxels.single_NC)
    for rows in rows_of_classes:
        differences = [_difference(voxels, own) for own in _objects(rows, voxels.instance_N[rows])]
        if differences:
            total = total + torch.stack(differences).mean()
    return total


def _objects(rows: torch.Tensor, instance_of_rows: torch.Tensor) -> Iterator[torch.Tensor]:
    for instance in torch.unique(instance_of_rows).tolist():
        own = rows[instance_of_rows == instance]
        if instance != 0 and len(own) > 1:
            yield own


def _difference(voxels: HardVoxels, rows: torch.Tensor) -> torch.Tensor:
    single_NC, enriched_NC = (
        unit_rows(scores_NC, rows).to(scores_NC.dtype) for scores_NC in (voxels.single_NC, voxels.enriched_NC)
    )
    return (single_NC @ single_NC.T - enriched_NC @ enriched_NC.T).abs().mean()
