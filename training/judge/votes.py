"""Test-time augmentation: each scan is labelled several times, flipped and rotated, by one network or a committee of
several, and the votes are added up.

Unlike the official script, each vote changes the original scan, not that of the vote before, and nothing is random.
N points of a cloud, P measured ones among them, C classes.
"""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from pvd_core.borders.errors import UserError
from pvd_core.borders.wording import counted
from pvd_core.clouds.measured import is_measured, measured_points
from pvd_core.segmenter import Segmenter
from training.data.augmentation.votes import VOTES, moved


class Votes(NamedTuple):
    """labels: class ids, uint8 (N,), 0 for points that are no measurement. confidence: float32 (N,), of the labels, 0
    where they are 0: by the geometric mean of the votes' probabilities."""

    labels: np.ndarray
    confidence: np.ndarray


def check_committee(weights: Sequence[str | Path], segmenters: Sequence[Segmenter]) -> None:
    """UserError where the networks in these files do not label the same scans as the same classes, or one comes
    twice."""
    if repeated := [str(path) for path in weights if list(weights).count(path) > 1]:
        raise UserError(f"weights {repeated[0]} are named twice: name each network once")
    kinds = [
        f"{each.taxonomy.name} from {counted(each.past_scans.past, 'past scan')} with stride {each.past_scans.stride}"
        for each in segmenters
    ]
    for path, kind in zip(weights, kinds, strict=True):
        if kind != kinds[0]:
            raise UserError(f"{weights[0]} labels {kinds[0]}, {path} {kind}: both must do the same to vote together")


def labels_by_vote(segmenters: Sequence[Segmenter], points: np.ndarray, num_votes: int) -> np.ndarray:
    """The labels that `votes` gives, uint8 (N,)."""
    return votes(segmenters, points, num_votes).labels


@torch.inference_mode()
def votes(segmenters: Sequence[Segmenter], points: np.ndarray, num_votes: int) -> Votes:
    """Of `points`, float32 (N, 4 or 5) as Segmenter.segment takes them: a label is the arg-max of the log-probabilities
    summed over the networks and, for each, over the first `num_votes` (1 to 8) of VOTES."""
    measured_N = is_measured(points)
    labels, confidence = np.zeros(len(points), np.uint8), np.zeros(len(points), np.float32)
    measured = measured_points(points, measured_N)
    if len(measured):
        views = [moved(measured, vote) for vote in VOTES[:num_votes]]
        of_votes = (log_probabilities(each, view) for each in segmenters for view in views)
        scores_PC = functools.reduce(torch.add, of_votes)
        num_all = len(segmenters) * num_votes
        best_P, labels_P = scores_PC.max(dim=1)
        labels[measured_N] = labels_P.cpu().numpy() + 1
        mean_PC, best_P = scores_PC / num_all, best_P / num_all
        confidence[measured_N] = (best_P - mean_PC.logsumexp(dim=1)).exp().cpu().numpy()
    return Votes(labels, confidence)


def log_probabilities(segmenter: Segmenter, points: np.ndarray) -> torch.Tensor:
    """float32 (P, C - 1) for measured points float32 (P, 4 or 5): of all classes but 0."""
    batch = segmenter.batch_of(points)
    output = segmenter.run_network(batch)
    if output.point_logits_PC is not None:
        return output.point_logits_PC[:, 1:].float().log_softmax(dim=1)
    return output.voxel_logits_VC[:, 1:].float().log_softmax(dim=1)[batch.point_to_voxel_P]
