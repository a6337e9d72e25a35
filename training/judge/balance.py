"""Shifts of the class scores that make the mean IoU over labelled scans highest.

Class weights in the loss make a network learn rare classes, and then find them too often. A number a class, added to
the bias of the layer that labels come from, takes that back.

N points, C = 20 classes, the first of which (ignored) is never predicted and never counts.
"""

from dataclasses import dataclass

import numpy as np
import torch

from pvd_core.borders.errors import UserError
from pvd_core.taxonomy import NUM_CLASSES
from training.data.dataset import usable_points
from training.data.prefetch import prefetched
from training.judge.metrics import ConfusionMatrix

_POINTS_A_SCAN = 15_000
_STEPS = (1.0, 0.5, 0.25)
_MOST_ROUNDS = 4
# Of the mean IoU: less is noise, and a shift as small as can be carries best to other scans.
_LEAST_GAIN = 1e-5


@dataclass(frozen=True)
class Balance:
    shift_C: np.ndarray
    """float32 (C,), to be added to the class scores."""
    miou_before: float
    """Over the classes present in the truth of the points looked at."""
    miou_after: float


def balance_classes(segmenter, folder, max_scans=None, progress=None):
    """The Balance of a Segmenter's network on labelled scans of a ScanFolder, evenly spread; the network's bias is
    shifted accordingly. `progress(num_done, num_all)` is called after each scan."""
    scores_NC, truth_N = _sampled_scores(segmenter, folder, folder.evenly_spaced(max_scans), progress)
    if not truth_N.any():
        raise UserError(f"no labelled point in {folder.describe()}: balancing compares labels with the truth")
    balance = best_shift(scores_NC, truth_N)
    with torch.no_grad():
        bias_C = segmenter.model.label_layer.bias
        bias_C += torch.from_numpy(balance.shift_C).to(bias_C)
    return balance


def best_shift(scores_NC, truth_N):
    """The Balance of class scores, a float type (N, C), against class ids (N,): one class after the other is shifted
    up or down by a step as long as that helps, first by whole ones, last by quarters."""
    counted_N = truth_N > 0
    scores_NC, truth_N = np.float32(scores_NC[counted_N]), truth_N[counted_N]
    scores_NC[:, 0] = -np.inf
    shift_C = np.zeros(NUM_CLASSES, np.float32)
    best = miou_before = _miou(scores_NC.argmax(axis=1), truth_N)
    for step in _STEPS:
        for _ in range(_MOST_ROUNDS):
            best_of_round = best
            for class_id in range(1, NUM_CLASSES):
                shift_C[class_id], best = _best_of_class(scores_NC, truth_N, shift_C, class_id, step, best)
            if best == best_of_round:
                break
    return Balance(shift_C, miou_before, best)


def _best_of_class(scores_NC, truth_N, shift_C, class_id, step, best):
    """(shift of the class, mean IoU) after as many steps up or down as help."""
    others_NC = scores_NC + shift_C
    others_NC[:, class_id] = -np.inf
    rival_N = others_NC.argmax(axis=1)
    lead_N = np.take_along_axis(others_NC, rival_N[:, None], axis=1)[:, 0] - scores_NC[:, class_id]
    shift = shift_C[class_id]
    for direction in (step, -step):
        while (miou := _miou(np.where(lead_N < shift + direction, class_id, rival_N), truth_N)) > best + _LEAST_GAIN:
            shift, best = shift + direction, miou
    return shift, best


def _miou(labels_N, truth_N):
    matrix = ConfusionMatrix()
    matrix.update(labels_N, truth_N)
    return matrix.miou(present_only=True)


def _sampled_scores(segmenter, folder, indices, progress):
    """(class scores float16 (N, C), class ids uint8 (N,)) of points drawn from each scan, the same ones every time."""
    scores, truths = [np.zeros((0, NUM_CLASSES), np.float16)], [np.zeros(0, np.uint8)]
    scans = prefetched(lambda index: usable_points(*folder.labelled_points(index)), indices, num_workers=1)
    for num_done, (points, truth_P) in enumerate(scans, start=1):
        drawn = np.random.default_rng(num_done).permutation(len(truth_P))[:_POINTS_A_SCAN]
        if len(drawn):
            batch = segmenter.batch_of(points)
            scores_PC = segmenter.run_network(batch).scores_of_points(batch.point_to_voxel_P)
            scores.append(scores_PC.float().cpu().numpy()[drawn].astype(np.float16))
            truths.append(truth_P[drawn])
        if progress is not None:
            progress(num_done, len(indices))
    return np.concatenate(scores), np.concatenate(truths)
