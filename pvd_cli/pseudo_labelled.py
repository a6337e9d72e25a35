"""Writes scans and the surest of their labels as a data set in SemanticKITTI's layout."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pvd_cli.adapt_scans import in_frame
from pvd_cli.cloud_options import NotedClouds
from pvd_cli.label_files import label_bytes
from pvd_cli.progress import Steps
from pvd_cli.unlabelled_scans import UnlabelledScans
from pvd_core.borders.errors import naming_scan
from pvd_core.borders.files import sha256_of, whole_folder
from pvd_core.clouds.measured import is_measured
from pvd_core.committee import AnySegmenter
from training.adapt.pseudo_labels import LevelledLabels, SurestLabels
from training.data.dataset import ORIGIN_FILE
from training.judge.seen import seen_by_ancestors
from training.judge.votes import segment_by_votes

_TRAINING, _VALIDATION = "00", "08"
_EVERY = 10  # of which one scan validates


def write_pseudo_labelled(
    out: Path,
    scans: UnlabelledScans,
    noted: NotedClouds,
    segmenter: AnySegmenter,
    num_votes: int,
    surest: SurestLabels,
    weights: Sequence[Path],
) -> None:
    """Writes the data set `out`, whole or not at all. `weights`: the files of `segmenter`."""
    with whole_folder(out.absolute(), "labelling scans") as folder, Steps("labelling", "scans") as steps:
        labelled = []
        for number, scan in enumerate(scans):
            points = in_frame(scan, noted)
            points = np.where(is_measured(points)[:, None], points, np.float32(0))
            _write(folder, number, len(scans), "velodyne", ".bin", points.astype("<f4").tobytes())
            with naming_scan(scan.name):
                labelled.append(LevelledLabels.of(segment_by_votes(segmenter, points, num_votes)))
            surest.add(labelled[-1])
            steps.show(number + 1, len(scans))
        for number, levelled in enumerate(labelled):
            content = label_bytes(surest.chosen(levelled), surest.taxonomy)
            _write(folder, number, len(scans), "labels", ".label", content)
        own = [{"dataset": name, "sequences": sequences} for name, sequences in scans.sequences.items()]
        facts = {
            "weights": [{"file": path.name, "sha256": sha256_of(path)} for path in weights],
            "votes": num_votes,
            "share": surest.share,
            "least_confidence": surest.least_confidence,
            "classes": surest.report(),
            # The labels repeat what the networks learned from their own scans.
            "made_of": [*own, *seen_by_ancestors(each.facts for each in segmenter.members)],
        }
        (folder / ORIGIN_FILE).write_text(json.dumps(facts, indent=1), encoding="utf-8")


def _write(folder: Path, number: int, total: int, kind: str, suffix: str, content: bytes) -> None:
    is_last_of_ten = number % _EVERY == _EVERY - 1 or (total < _EVERY and number == total - 1)
    path = folder / "sequences" / (_VALIDATION if is_last_of_ten else _TRAINING) / kind / f"{number:06d}{suffix}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
