"""IoU of each class for the labels that the node would publish, on labelled scans, by the official protocol."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pvd_core.borders.errors import UserError, naming_scan
from pvd_core.clouds.stream import CloudStream
from pvd_core.committee import AnySegmenter, segmenter_of
from pvd_core.segmenter import Segmenter
from pvd_core.weights.facts import past_scans_facts
from training.data.dataset import ScanFolder
from training.data.fused_scans import FusedScans
from training.data.prefetch import prefetched
from training.judge.classes import check_same_classes, taxonomy_in
from training.judge.metrics import ConfusionMatrix
from training.judge.reliability import Reliability
from training.judge.seen import calibrated_on, described, seen_by_ancestors, seen_sequences
from training.judge.votes import segment_by_votes

DISTANCE_BANDS_M = ((0, 10), (10, 20), (20, 30), (30, 40), (40, 50), (50, np.inf))
"""Horizontal distance from the sensor: from (included), to (excluded)."""

_Prepare = Callable[[int, np.ndarray, int], np.ndarray]


def evaluate(
    dataset_root: str | Path,
    weights: str | Path | Sequence[str | Path],
    split: str | Sequence[str] = "valid",
    device: str = "auto",
    progress: Callable[[int, int], object] | None = None,
    max_scans: int | None = None,
    votes: int = 1,
    by_distance: bool = False,
    columns: str | int = 4,
    stream: CloudStream | None = None,
    precision: str = "fp32",
    taxonomy: str | None = None,
) -> dict[str, Any]:
    """Labels the scans of a data set and compares with the truth; where the weights expect past scans behind each, the
    sequences need poses, and the scan's own points alone count. Several weights label together, as a
    Committee. Returns a JSON-able dictionary:

    - "taxonomy": name of the classes, those of the weights, as which the truth is read too
    - "miou" over all of them, "miou_present" over those in the truth, "iou" {class: value}, "accuracy"; all 0..1
    - "num_points" (labelled), "num_points_by_class", "labels_by_truth" {true class: {predicted class: points}}
    - "calibration": how far confidences are the shares of labels that are right, see Reliability.as_dict; and
      "fitted_on", those of the sequences that the temperature of the weights was fitted on, if it had a part
    - "num_scans", "sequences", "votes", "seconds", "weights", "dataset"
    - "remarks": sentences on what of the scans is not as networks expect it
    - "trained_on": a sentence on what the weights, and weights that they come from, were trained on, as far as the
      header of the file tells; "seen_in_training": those of the sequences that are among it
    - with `by_distance`, "by_distance": a list of the metrics in each of DISTANCE_BANDS_M

    `split`: "train", "valid" or one or several sequences. `max_scans`: only so many, evenly spaced. `votes`: 1 to 8, of
    test-time augmentation. `columns`: of the .bin files, see ScanFolder. `stream` brings the scans to the network's
    frame. `precision`: of the network, as Segmenter takes it. `progress(num_done, num_all)` is called after each scan.
    `taxonomy`: that of the weights must have this name; None for any. UserError where there is nothing to compare with.
    """
    if split == "test":
        raise UserError("split 'test' has no labels to evaluate against; use train, valid or a list of sequences")
    files = [weights] if isinstance(weights, (str, Path)) else list(weights)
    folder = ScanFolder(dataset_root, split, columns, taxonomy_in(files[0], taxonomy))
    segmenter = segmenter_of(files, device, precision)
    scans = FusedScans(folder, segmenter.past_scans)
    indices = folder.evenly_spaced(max_scans)
    start = time.perf_counter()
    # The clouds of a training are not scaled either, so that networks are scored on what they know.
    stream = stream or CloudStream(intensity_scale=1.0)
    remarks = [*filter(None, (folder.label_remark(),)), *scans.remarks]
    reliability = Reliability()
    bands = score_bands(segmenter, scans, indices, progress, votes, _noting(stream, folder, remarks), reliability)
    whole = ConfusionMatrix.summed(bands)
    if not whole.num_points:
        raise UserError(f"no labelled point in {folder.describe()}: there is nothing to score against")
    moving = list(folder.taxonomy.moving)
    if moving and not whole.points_per_class()[moving].any():
        remarks.append(
            f"no point of {folder.root} is labelled as moving: nothing moves there, or its labels do not tell moving "
            f"objects from still ones, and scores of {folder.taxonomy.name} mean little"
        )
    facts = [each.facts for each in segmenter.members]
    seen_by_each = [seen_sequences(each, folder) for each in facts]
    # Temperatures have no part in the confidences of votes.
    fitted_on = calibrated_on(facts[0], folder) if len(facts) == 1 and votes == 1 else []
    return {
        "taxonomy": folder.taxonomy.name,
        **metrics_of(whole),
        **({"by_distance": _metrics_by_distance(bands)} if by_distance else {}),
        "num_points": whole.num_points,
        "num_points_by_class": whole.points_by_name(),
        "labels_by_truth": whole.counts_by_name(),
        "calibration": {**reliability.as_dict(), "fitted_on": fitted_on},
        "num_scans": len(indices),
        **past_scans_facts(segmenter.past_scans),
        "votes": votes,
        "sequences": list(folder.sequences),
        "trained_on": described(seen_by_ancestors(facts)),
        "remarks": remarks,
        "seen_in_training": [name for name in folder.sequences if any(name in seen for seen in seen_by_each)],
        "seconds": round(time.perf_counter() - start, 3),
        "weights": str(files[0]) if len(files) == 1 else [str(file) for file in files],
        "dataset": str(dataset_root),
    }


def _noting(stream: CloudStream, folder: ScanFolder, remarks: list[str]) -> _Prepare:
    """A `prepared` for score_bands that adds to `remarks` what is to be said of the scans."""

    def prepared(index: int, points: np.ndarray, num_current: int) -> np.ndarray:
        current = points[:num_current]
        found = [stream.decide(current), *stream.look_if_due(current)]
        remarks.extend(f"{folder.scans[index].points_path}: {sentence}" for sentence in found if sentence)
        return stream.prepared(points)

    return prepared


def score(
    segmenter: Segmenter,
    folder: ScanFolder,
    indices: Sequence[int],
    progress: Callable[[int, int], object] | None = None,
) -> ConfusionMatrix:
    """ConfusionMatrix of a Segmenter's labels over the scans `indices` of a folder; behind each are the past scans that
    its weights expect."""
    scans = FusedScans(folder, segmenter.past_scans)
    return ConfusionMatrix.summed(score_bands(segmenter, scans, indices, progress))


def score_bands(
    segmenter: AnySegmenter,
    scans: FusedScans,
    indices: Sequence[int],
    progress: Callable[[int, int], object] | None = None,
    votes: int = 1,
    prepared: _Prepare = lambda index, points, num_current: points,
    reliability: Reliability | None = None,
) -> list[ConfusionMatrix]:
    """As `score`, one ConfusionMatrix for each of DISTANCE_BANDS_M. `votes`: 1 to 8 of each, by test-time augmentation.
    `prepared(index, points, num_current)` brings the points of a scan, of which the first `num_current` are its own, to
    the network's frame. `reliability` counts confidences. ValueError where the folder's labels
    have another taxonomy than the Segmenter."""
    check_same_classes(segmenter, scans.folder)
    bands = [ConfusionMatrix(scans.folder.taxonomy) for _ in DISTANCE_BANDS_M]
    labelled = zip(indices, prefetched(scans.labelled_points, indices, num_workers=1), strict=True)
    for num_done, (index, (points, truth)) in enumerate(labelled, start=1):
        points = prepared(index, points, len(truth))
        own = points[: len(truth)]
        with naming_scan(scans.folder.scans[index].points_path):
            result = segment_by_votes(segmenter, points, votes)
        labels = result.labels[: len(truth)]
        if reliability is not None:
            reliability.update(result.confidence[: len(truth)], labels, truth)
        distance_m = np.hypot(own[:, 0], own[:, 1])
        for scores, (near, far) in zip(bands, DISTANCE_BANDS_M, strict=True):
            inside = (distance_m >= near) & (distance_m < far)
            scores.update(labels[inside], truth[inside])
        if progress is not None:
            progress(num_done, len(indices))
    return bands


def _metrics_by_distance(bands: list[ConfusionMatrix]) -> list[dict[str, Any]]:
    named = zip(DISTANCE_BANDS_M, bands, strict=True)
    return [
        {"from_m": near, "to_m": far if far < np.inf else None, "num_points": scores.num_points, **metrics_of(scores)}
        for (near, far), scores in named
    ]


def metrics_of(scores: ConfusionMatrix) -> dict[str, Any]:
    """The keys "miou", "miou_present", "iou" {class: value} and "accuracy"; values in 0..1."""
    return {
        "miou": scores.miou(),
        "miou_present": scores.miou(present_only=True),
        "iou": scores.iou_by_name(),
        "accuracy": scores.accuracy(),
    }
