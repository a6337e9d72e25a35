"""Objects that can move, in labels with past clouds behind each and in labels of the same clouds alone."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pvd_cli.progress import Steps
from pvd_core.taxonomy import Taxonomy
from training.judge.metrics import ConfusionMatrix

_MOVERS = ("car", "bicycle", "motorcycle", "truck", "other-vehicle", "person", "bicyclist", "motorcyclist")


@dataclass(frozen=True)
class MoverScores:
    """IoU in 0..1 of the labels that the demo made (`fused`) and of those of the same clouds alone (`single`)."""

    fused: dict[str, float]
    single: dict[str, float]
    num_points: dict[str, int]
    tells_moving: bool
    """Whether the classes tell what moves: then names are of moving classes, and `moving` is all of them together."""

    def as_json(self) -> dict[str, Any]:
        """For the report."""
        return {"fused": self.fused, "single": self.single, "num_points": self.num_points}


def compare_with_single(
    clouds: list[np.ndarray], truths: list[np.ndarray], weights: Path, fused: ConfusionMatrix
) -> MoverScores:
    """Labels each of `clouds`, float32 (N, 4), alone, and compares. `truths`: class ids (N,). `fused`: the labels that
    the demo made of the same clouds."""
    from pvd_core.segmenter import Segmenter

    segmenter = Segmenter.from_weights(weights)
    single = ConfusionMatrix(fused.taxonomy)
    with Steps("labelling each alone", "clouds") as steps:
        for number, (points, truth) in enumerate(zip(clouds, truths, strict=True), start=1):
            single.update(segmenter.segment(points).labels, truth)
            steps.show(number, len(clouds))
    return scores_of(fused, single)


def scores_of(fused: ConfusionMatrix, single: ConfusionMatrix) -> MoverScores:
    """The scores of the classes of movers that occur, of both matrices."""
    taxonomy = fused.taxonomy
    groups = groups_of(taxonomy)
    num_points = {name: int(fused.points_per_class()[ids].sum()) for name, ids in groups.items()}
    found = {name: ids for name, ids in groups.items() if num_points[name]}
    return MoverScores(
        {name: iou_of(fused, ids) for name, ids in found.items()},
        {name: iou_of(single, ids) for name, ids in found.items()},
        {name: num_points[name] for name in found},
        bool(taxonomy.moving),
    )


def groups_of(taxonomy: Taxonomy) -> dict[str, list[int]]:
    """{name: class ids}: each moving class, and `moving`, all of them; the classes that may move where none tell it."""
    if not taxonomy.moving:
        return {name: [taxonomy.id_of(name)] for name in _MOVERS}
    return {**{taxonomy.names[i]: [i] for i in taxonomy.moving}, "moving": list(taxonomy.moving)}


def iou_of(matrix: ConfusionMatrix, class_ids: list[int]) -> float:
    """IoU of several classes taken for one."""
    counts = matrix.counts.copy()
    counts[:, 0] = 0  # points whose truth is not known
    hits = counts[np.ix_(class_ids, class_ids)].sum()
    union = counts[class_ids].sum() + counts[:, class_ids].sum() - hits
    return float(hits / union) if union else 0.0


def print_movers(scores: MoverScores, num_scans: int) -> None:
    """A table, and what these weights can tell."""
    from rich.console import Console
    from rich.table import Table

    print(f"IoU % of movers: {num_scans} scans fused, against the same clouds alone")
    table = Table()
    for name in ("class", "fused", "alone", "points"):
        table.add_column(name, justify="left" if name == "class" else "right")
    for name, iou in scores.fused.items():
        table.add_row(name, f"{100 * iou:.1f}", f"{100 * scores.single[name]:.1f}", f"{scores.num_points[name]:,}")
    Console(highlight=False).print(table)
    if "moving" in scores.fused:
        print(f"moving IoU {100 * scores.fused['moving']:.1f} %: all moving classes taken for one")
    elif scores.tells_moving:
        print("moving IoU: nothing moves in this drive")
    else:
        print(
            "moving IoU: none, as these weights have one class for what moves and what stands; WEIGHTS=file "
            "(--weights) takes weights of 25 classes, see docs/training.md, many scans"
        )
