"""What `pvd adapt` changed, for people: a table and sentences, a JSON file, pictures before and after."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

from pvd_cli.picture import class_colours, class_legend, save_panels
from pvd_core.borders.files import written_atomically
from pvd_core.borders.wording import counted
from pvd_core.taxonomy import Taxonomy


class ChangedScan(NamedTuple):
    """points: float32 (N, 4). labels: {"before", "after", and "truth" where it is known: class ids (N,)}."""

    name: str
    title: str
    points: np.ndarray
    labels: dict[str, np.ndarray]


def print_changes(report: Mapping[str, Any]) -> None:
    """Prints what `Comparison.report` found."""
    truth, points = report["truth"], max(report["points"], 1)
    table = Table()
    for name in ("class", "before %", "after %", "kept %", *(("IoU before %", "IoU after %") if truth else ())):
        table.add_column(name, justify="left" if name == "class" else "right")
    for name, each in report["classes"].items():
        kept = f"{100 * each['kept'] / each['before']:.1f}" if each["before"] else "-"
        iou = [f"{100 * truth[when]['iou'][name]:.1f}" for when in ("before", "after")] if truth else []
        table.add_row(name, f"{100 * each['before'] / points:.2f}", f"{100 * each['after'] / points:.2f}", kept, *iou)
    console = Console()
    console.print("Share of the points by class", style="bold")
    console.print(table)
    print(f"statistics of {report['num_norms']} norms moved by {report['strength']:g} towards those of the scans")
    print(f"{100 * report['agreement']:.1f} % of the points keep their label")
    for what in ("confidence", "entropy"):
        print(f"mean {what} {report[what]['before']:.3f} -> {report[what]['after']:.3f}")
    if report["changed"]:
        print(f"found twice or half as often, or more extreme: {', '.join(report['changed'])}")
    if truth:
        for what, name in (("miou_present", "mean IoU of the classes present"), ("accuracy", "points right")):
            before, after = (100 * truth[when][what] for when in ("before", "after"))
            print(f"{name} {before:.1f} -> {after:.1f} % on {counted(truth['scans'], 'scan')}")
    else:
        print(
            "without labels nobody knows whether this is better: look at the pictures, or label a few scans (--labels)"
        )


def write_report(folder: Path, report: Mapping[str, Any], scans: Sequence[ChangedScan], taxonomy: Taxonomy) -> None:
    """Writes report.json, and of each of `scans` a picture with a panel for each of its labels."""
    with written_atomically(folder / "report.json") as temporary:
        temporary.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    for scan in scans:
        panels = {name: class_colours(ids, taxonomy) for name, ids in scan.labels.items()}
        legend = class_legend(np.unique(np.concatenate(list(scan.labels.values()))), taxonomy)
        save_panels(folder / f"{scan.name}.png", scan.points, panels, legend, scan.title)
