"""The temperature with which confidences are the shares of labels that are right (Guo et al. 2017).

N points, C classes; class 0 (unlabelled) is never predicted and never counts.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from pvd_core.borders.errors import UserError
from pvd_core.segmenter import Segmenter
from pvd_core.weights.confidence import COLDEST, HOTTEST
from training.data.dataset import ScanFolder
from training.judge.classes import check_same_classes
from training.judge.reliability import Reliability
from training.judge.sampled_scores import sampled_scores

_GOLDEN = (math.sqrt(5) - 1) / 2
_TOLERANCE = 1e-4  # of the logarithm of the temperature


@dataclass(frozen=True)
class Calibration:
    """A temperature, and what it makes of the expected calibration error, 0..1, on scans that it was not fitted on."""

    temperature: float
    ece_before: float
    """Without a temperature, which is temperature 1."""
    ece_after: float
    num_scans: int
    """That it was fitted on."""
    num_points: int
    """That it was fitted on."""
    num_scans_checked: int
    num_points_checked: int


def calibrate(
    segmenter: Segmenter,
    folder: ScanFolder,
    max_scans: int | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> Calibration:
    """Fits the temperature on every other scan, and measures on those between.

    `max_scans`: only so many scans, evenly spaced. `progress(num_done, num_all)` is called after each scan. UserError
    where there are fewer than two scans, where no point of a half is labelled, and where no temperature in bounds is
    best; ValueError where the folder's labels have another taxonomy than the Segmenter.
    """
    check_same_classes(segmenter, folder)
    indices = folder.evenly_spaced(max_scans)
    if len(indices) < 2:
        raise UserError(f"{folder.describe()}: a temperature takes at least two scans, one to fit it on, one to check")
    show = progress or (lambda num_done, num_all: None)
    fitted, checked = indices[::2], indices[1::2]
    first = _labelled(segmenter, folder, fitted, lambda done, _: show(done, len(indices)))
    second = _labelled(segmenter, folder, checked, lambda done, _: show(len(fitted) + done, len(indices)))
    temperature = best_temperature(*first)
    return Calibration(
        temperature,
        calibration_error(*second),
        calibration_error(*second, temperature),
        len(fitted),
        len(first[1]),
        len(checked),
        len(second[1]),
    )


def best_temperature(scores_NC: np.ndarray, truth_N: np.ndarray) -> float:
    """The temperature with the smallest mean negative log-likelihood of the truth, four digits after the point. Scores:
    any float type (N, C); truth: class ids from 1 on (N,), at least one. UserError where the best one lies beyond
    COLDEST and HOTTEST.

    Golden section over its logarithm. The likelihood is convex in 1 / temperature, so there is one best.
    """
    scores = torch.from_numpy(np.asarray(scores_NC, np.float32))[:, 1:].double()
    # Relative to the true class: its log-likelihood is then -log(sum(exp(scores / temperature))).
    scores -= scores.gather(1, torch.from_numpy(truth_N.astype(np.int64))[:, None] - 1)

    def loss(log_temperature: float) -> float:
        return (scores / math.exp(log_temperature)).logsumexp(dim=1).mean().item()

    low, high = math.log(COLDEST), math.log(HOTTEST)
    inner = [high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)]
    losses = [loss(each) for each in inner]
    while high - low > _TOLERANCE:
        if losses[0] <= losses[1]:
            high, inner[1], losses[1] = inner[1], inner[0], losses[0]
            inner[0] = high - _GOLDEN * (high - low)
            losses[0] = loss(inner[0])
        else:
            low, inner[0], losses[0] = inner[0], inner[1], losses[1]
            inner[1] = low + _GOLDEN * (high - low)
            losses[1] = loss(inner[1])
    temperature = round(math.exp((low + high) / 2), 4)
    if not COLDEST * 1.01 < temperature < HOTTEST / 1.01:
        why = "every label is right" if temperature < 1 else "the labels are as good as guessed"
        raise UserError(
            f"the best temperature lies beyond {COLDEST:g} to {HOTTEST:g}: on these scans {why}; take more or other "
            "scans, which the network has not learned by heart"
        )
    return temperature


def calibration_error(scores_NC: np.ndarray, truth_N: np.ndarray, temperature: float = 1.0) -> float:
    """Expected calibration error, 0..1, of the labels and confidences that scores give. As of `best_temperature`."""
    scores = torch.from_numpy(np.asarray(scores_NC, np.float32))[:, 1:]
    confidence, labels = torch.softmax(scores / temperature, dim=1).max(dim=1)
    reliability = Reliability()
    reliability.update(confidence.numpy(), labels.numpy() + 1, truth_N)
    return reliability.error()


def _labelled(
    segmenter: Segmenter, folder: ScanFolder, indices: list[int], progress: Callable[[int, int], object]
) -> tuple[np.ndarray, np.ndarray]:
    scores_NC, truth_N = sampled_scores(segmenter, folder, indices, progress)
    is_labelled_N = truth_N > 0
    if not is_labelled_N.any():
        raise UserError(f"no labelled point in half of the scans of {folder.describe()}: confidences need a truth")
    return scores_NC[is_labelled_N], truth_N[is_labelled_N]
