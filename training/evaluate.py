"""IoU a class of a network on labelled scans, by the official protocol, on the labels that the node would publish."""

import time

from pvd_core.errors import UserError
from pvd_core.metrics import ConfusionMatrix
from pvd_core.segmenter import Segmenter
from training.dataset import ScanFolder
from training.prefetch import prefetched


def evaluate(dataset_root, weights, split="valid", device="auto", progress=None, max_scans=None):
    """A JSON-able dictionary: "miou" over the 19 classes, "miou_present" over those in the truth, "iou" {class: value},
    "accuracy", "num_points" (labelled), "num_scans", "sequences", "seconds", "weights", "dataset", and
    "seen_in_training": those of the sequences that the weights were trained on, as far as their facts tell.

    `split`: "train", "valid" or a list of sequences. `progress(num_done, num_all)` is called after each scan.
    """
    if split == "test":
        raise UserError("split 'test' has no labels to evaluate against; use train, valid or a list of sequences")
    folder = ScanFolder(dataset_root, split)
    segmenter = Segmenter.from_weights(weights, device)
    indices = folder.evenly_spaced(max_scans)
    start = time.perf_counter()
    scores = score(segmenter, folder, indices, progress)
    return {
        **metrics_of(scores),
        "num_points": scores.num_points,
        "num_scans": len(indices),
        "sequences": list(folder.sequences),
        "seen_in_training": _seen_in_training(segmenter.facts, folder),
        "seconds": round(time.perf_counter() - start, 3),
        "weights": str(weights),
        "dataset": str(dataset_root),
    }


def score(segmenter, folder, indices, progress=None):
    """ConfusionMatrix of a Segmenter's labels over the scans `indices` of a ScanFolder."""
    scores = ConfusionMatrix()
    for num_done, (points, truth) in enumerate(prefetched(folder.labelled_points, indices, num_workers=1), start=1):
        scores.update(segmenter.segment(points).labels, truth)
        if progress is not None:
            progress(num_done, len(indices))
    return scores


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
