"""Shifts of the class scores that maximise the mean IoU over labelled scans.

Class weights in the loss make a network learn rare classes, but also predict them too often. One number for each class,
added to the bias of the layer that gives the class scores, corrects that.

N points, C classes; class 0 (unlabelled) is never predicted and never counts.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from pvd_core.borders.errors import UserError
from pvd_core.segmenter import Segmenter
from pvd_core.taxonomy import Taxonomy
from training.data.dataset import ScanFolder
from training.judge.classes import check_same_classes
from training.judge.metrics import ConfusionMatrix
from training.judge.sampled_scores import sampled_scores

_STEPS = (1.0, 0.5, 0.25)
_MOST_ROUNDS = 4
# Smaller gains of the mean IoU are noise, and small shifts suit other scans best.
_LEAST_GAIN = 1e-5


@dataclass(frozen=True)
class Balance:
    """Shifts of the class scores, and what they gain."""

    shift_C: np.ndarray
    """float32 (C,), to be added to the class scores."""
    miou_before: float
    """Over the classes that occur in the truth of the points that were drawn; without the shifts."""
    miou_after: float
    """The same with the shifts."""


def balance_classes(
    segmenter: Segmenter,
    folder: ScanFolder,
    max_scans: int | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> Balance:
    """Finds the best shifts on labelled scans and adds them to the bias of the Segmenter's network.

    `max_scans`: only so many scans, evenly spaced. `progress(num_done, num_all)` is called after each scan. UserError
    where no point is labelled; ValueError where the folder's labels have another taxonomy than the Segmenter.
    """
    check_same_classes(segmenter, folder)
    scores_NC, truth_N = sampled_scores(segmenter, folder, folder.evenly_spaced(max_scans), progress)
    if not truth_N.any():
        raise UserError(f"no labelled point in {folder.describe()}: balancing compares labels with the truth")
    balance = best_shift(scores_NC, truth_N, folder.taxonomy)
    with torch.no_grad():
        bias_C = segmenter.model.label_layer.bias
        assert bias_C is not None  # both kinds of layer that give class scores have one
        bias_C.add_(torch.from_numpy(balance.shift_C).to(bias_C))
    return balance


def best_shift(scores_NC: np.ndarray, truth_N: np.ndarray, taxonomy: Taxonomy) -> Balance:
    """The best shifts of class scores, any float type (N, C), for class ids of `taxonomy` (N,).

    One class after the other is shifted up or down in steps as long as that helps; steps are 1, then 1/2, then 1/4.
    """
    counted_N = truth_N > 0
    scores_NC, truth_N = np.float32(scores_NC[counted_N]), truth_N[counted_N]
    scores_NC[:, 0] = -np.inf
    shift_C = np.zeros(taxonomy.num_classes, np.float32)
    best = miou_before = _miou(scores_NC.argmax(axis=1), truth_N, taxonomy)
    for step in _STEPS:
        for _ in range(_MOST_ROUNDS):
            best_of_round = best
            for class_id in range(1, taxonomy.num_classes):
                shift_C[class_id], best = _best_of_class(scores_NC, truth_N, shift_C, class_id, step, best, taxonomy)
            if best == best_of_round:
                break
    return Balance(shift_C, miou_before, best)


def _best_of_class(
    scores_NC: np.ndarray,
    truth_N: np.ndarray,
    shift_C: np.ndarray,
    class_id: int,
    step: float,
    best: float,
    taxonomy: Taxonomy,
) -> tuple[np.floating, float]:
    """(shift of the class, mean IoU) after as many steps up or down as help."""
    others_NC = scores_NC + shift_C
    others_NC[:, class_id] = -np.inf
    rival_N = others_NC.argmax(axis=1)
    lead_N = np.take_along_axis(others_NC, rival_N[:, None], axis=1)[:, 0] - scores_NC[:, class_id]
    shift = shift_C[class_id]
    for direction in (step, -step):
        while True:
            miou = _miou(np.where(lead_N < shift + direction, class_id, rival_N), truth_N, taxonomy)
            if miou <= best + _LEAST_GAIN:
                break
            shift, best = shift + direction, miou
    return shift, best


def _miou(labels_N: np.ndarray, truth_N: np.ndarray, taxonomy: Taxonomy) -> float:
    matrix = ConfusionMatrix(taxonomy)
    matrix.update(labels_N, truth_N)
    return matrix.miou(present_only=True)
