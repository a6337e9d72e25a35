"""Measures what `pvd adapt` does to weights: `python scripts/measure_adaptation.py DATA OUT.json [WEIGHTS]`.

DATA holds `semantickitti` (the scans of real-33) and `pandaset` (its four labelled scans). Statistics come from subsets
of unlabelled scans, drawn by a seed, and are moved by several strengths; the mean IoU of the classes present is that of
sequence 08, or of all four scans of PandaSet.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pvd_core.clouds.stream import CloudStream
from pvd_core.models.adapted_statistics import estimate_statistics, norms_of
from pvd_core.models.bare_statistics import statistics_of, with_statistics
from pvd_core.models.network import Network
from pvd_core.segmenter import Segmenter
from training.adapt.comparison import Comparison
from training.data.dataset import ScanFolder, usable_points
from training.judge.metrics import ConfusionMatrix

_STRENGTHS = (0.0625, 0.125, 0.25, 0.5, 1.0)
_KITTI_TRAIN = ("00", "01", "02", "03", "04", "05", "06", "07", "09")
_Scan = tuple[np.ndarray, np.ndarray]


def main(data: Path, out: Path, weights: str = "default") -> None:
    torch.set_num_threads(1)
    segmenter = Segmenter.from_weights(weights, "cpu", programs="off")
    panda = _scans(ScanFolder(data / "pandaset", ("001",)))
    sets = {
        "pandaset": (panda, panda, {4: 1, 1: 4}),
        "kitti": (
            _scans(ScanFolder(data / "semantickitti", _KITTI_TRAIN)),
            _scans(ScanFolder(data / "semantickitti", ("08",))),
            {27: 1, 9: 5, 4: 5},
        ),
    }
    rows: list[dict[str, Any]] = []
    for name, (unlabelled, judged, sizes) in sets.items():
        rows.append({"scans": name, "strength": 0, **_scores(segmenter, segmenter.model, judged)})
        for size, num_seeds in sizes.items():
            for seed in range(num_seeds):
                # One that is left out of the four comes after the other.
                chosen = (
                    [(seed + n) % 4 for n in range(size)]
                    if name == "pandaset"
                    else sorted(np.random.default_rng(seed).permutation(len(unlabelled))[:size].tolist())
                )
                for norms in ("points", "all") if size in (4, 27) and seed == 0 else ("points",):
                    subset = [unlabelled[number] for number in chosen]
                    for row in _adapted(segmenter, subset, judged, norms):
                        rows.append({"scans": name, "num_scans": size, "seed": seed, "norms": norms, **row})
                        print(rows[-1], flush=True)
                    out.write_text(json.dumps(rows, indent=1) + "\n")


def _adapted(
    segmenter: Segmenter, unlabelled: Sequence[_Scan], judged: Sequence[_Scan], norms: str
) -> list[dict[str, Any]]:
    model = segmenter.model
    tensors = (torch.from_numpy(each) for each, _ in unlabelled)
    found, _ = estimate_statistics(model, tensors, norms_of(model, norms))
    own, rows = statistics_of(model), []
    for strength in _STRENGTHS:
        moved = {name: torch.lerp(own[name], tensor, strength) for name, tensor in found.items()}
        network = with_statistics(model, {**own, **moved})
        comparison = Comparison(model, network, segmenter.facts, segmenter.device)
        for points, _ in unlabelled[:: max(1, len(unlabelled) // 5)][:5]:
            comparison.add(points)
        agreement = round(comparison.report()["agreement"], 3)
        rows.append({"strength": strength, "agreement": agreement, **_scores(segmenter, network, judged)})
    return rows


def _scans(folder: ScanFolder) -> list[_Scan]:
    stream, found = CloudStream(), []
    for index in range(len(folder.scans)):
        points, truth = usable_points(*folder.labelled_points(index))
        stream.decide(points)
        found.append((stream.prepared(points), truth))
    return found


def _scores(segmenter: Segmenter, network: Network, judged: Sequence[_Scan]) -> dict[str, Any]:
    labeller, scores = Segmenter(network, segmenter.facts), ConfusionMatrix(segmenter.taxonomy)
    for points, truth in judged:
        scores.update(labeller.segment(points).labels, truth)
    return {
        "miou_present": round(100 * scores.miou(present_only=True), 2),
        "accuracy": round(100 * scores.accuracy(), 2),
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])
