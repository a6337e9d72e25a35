"""IoU a class of a network on labelled scans, by the official protocol, on the labels that the node would publish."""

import time

import numpy as np

from pvd_core.borders.errors import UserError
from pvd_core.segmenter import Segmenter
from training.data.dataset import ScanFolder
from training.data.prefetch import prefetched
from training.judge.metrics import ConfusionMatrix
from training.judge.votes import labels_by_vote

DISTANCE_BANDS_M = ((0, 10), (10, 20), (20, 30), (30, 40), (40, 50), (50, np.inf))
"""Level distance from the sensor, from (included) and to."""


def evaluate(
    dataset_root, weights, split="valid", device="auto", progress=None, max_scans=None, votes=1, by_distance=False
):
    """A JSON-able dictionary: "miou" over the 19 classes, "miou_present" over those in the truth, "iou" {class: value},
    "accuracy", "num_points" (labelled), "labels_by_truth" {true class: {label: points}}, "num_scans", "sequences",
    "remark" (where the scans are not as networks expect them, else ""), "seconds", "weights", "dataset", and
    "seen_in_training": those of the sequences that the weights were trained on, as far as their facts tell.

    `split`: "train", "valid" or a list of sequences. `progress(num_done, num_all)` is called after each scan.
    `votes`: 1 to 8, of test-time augmentation. `by_distance` adds "by_distance": the metrics of each distance band.
    """
    if split == "test":
        raise UserError("split 'test' has no labels to evaluate against; use train, valid or a list of sequences")
    folder = ScanFolder(dataset_root, split)
    segmenter = Segmenter.from_weights(weights, device)
    indices = folder.evenly_spaced(max_scans)
    start = time.perf_counter()
    bands = score_bands(segmenter, folder, indices, progress, votes)
    whole = ConfusionMatrix.summed(bands)
    if not whole.num_points:
        raise UserError(f"no labelled point in {folder.describe()}: there is nothing to score against")
    return {
        **metrics_of(whole),
        **({"by_distance": _metrics_by_distance(bands)} if by_distance else {}),
        "num_points": whole.num_points,
        "num_points_by_class": whole.points_by_name(),
        "labels_by_truth": whole.counts_by_name(),
        "num_scans": len(indices),
        "votes": votes,
        "sequences": list(folder.sequences),
        "remark": folder.remark(),
        "seen_in_training": _seen_in_training(segmenter.facts, folder),
        "seconds": round(time.perf_counter() - start, 3),
        "weights": str(weights),
        "dataset": str(dataset_root),
    }


def score(segmenter, folder, indices, progress=None):
    """ConfusionMatrix of a Segmenter's labels over the scans `indices` of a ScanFolder."""
    return ConfusionMatrix.summed(score_bands(segmenter, folder, indices, progress))


def score_bands(segmenter, folder, indices, progress=None, votes=1):
    """A ConfusionMatrix for each of DISTANCE_BANDS_M."""
    bands = [ConfusionMatrix() for _ in DISTANCE_BANDS_M]
    for num_done, (points, truth) in enumerate(prefetched(folder.labelled_points, indices, num_workers=1), start=1):
        labels = segmenter.segment(points).labels if votes == 1 else labels_by_vote(segmenter, points, votes)
        distance_m = np.hypot(points[:, 0], points[:, 1])
        for scores, (near, far) in zip(bands, DISTANCE_BANDS_M, strict=True):
            inside = (distance_m >= near) & (distance_m < far)
            scores.update(labels[inside], truth[inside])
        if progress is not None:
            progress(num_done, len(indices))
    return bands


def _metrics_by_distance(bands):
    named = zip(DISTANCE_BANDS_M, bands, strict=True)
    return [
        {"from_m": near, "to_m": far if far < np.inf else None, "num_points": scores.num_points, **metrics_of(scores)}
        for (near, far), scores in named
    ]


def _seen_in_training(facts, folder):
    training = facts.get("training_data")
    # Other data sets number their sequences alike.
    if not isinstance(training, dict) or training.get("dataset") != folder.root.resolve().name:
        return []
    return [sequence for sequence in folder.sequences if sequence in training.get("sequences", ())]


def metrics_of(scores):
    """The metrics of a ConfusionMatrix by name."""
    return {
        "miou": scores.miou(),
        "miou_present": scores.miou(present_only=True),
        "iou": scores.iou_by_name(),
        "accuracy": scores.accuracy(),
    }
