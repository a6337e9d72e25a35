"""Tables for people: latency by stage, IoU by class."""

import numpy as np
from rich.console import Console
from rich.table import Table

from pvd_core.taxonomy import CLASS_COLOURS, CLASS_NAMES

PERCENTILES = (50, 90, 99)


def percentiles(stage_values_ms):
    """{stage: {"p50", "p90", "p99"}} in milliseconds of {stage: list of measurements}; stages without any are left
    out."""
    return {
        stage: {f"p{p}": float(np.percentile(values, p)) for p in PERCENTILES}
        for stage, values in stage_values_ms.items()
        if len(values)
    }


def print_latency(latency_ms, title):
    """Prints what `percentiles` returns."""
    table = Table()
    table.add_column("stage")
    for p in PERCENTILES:
        table.add_column(f"p{p} ms", justify="right")
    for stage, values in latency_ms.items():
        table.add_row(stage.replace("_", " "), *(f"{values[f'p{p}']:.1f}" for p in PERCENTILES))
    _print(title, table)


def print_class_table(confusion, title):
    """Prints the IoU of a ConfusionMatrix for each class that occurs in the truth."""
    num_points = confusion.points_by_name()
    metrics = {
        "iou": {name: iou for name, iou in confusion.iou_by_name().items() if num_points[name]},
        "miou": confusion.miou(),
        "miou_present": confusion.miou(present_only=True),
        "num_points": confusion.num_points,
        "num_points_by_class": num_points,
    }
    print_iou(metrics, title)


def print_iou(metrics, title):
    """Prints "iou" {class: 0..1}, "miou_present", "miou", "num_points" and "num_points_by_class"."""
    table = Table()
    table.add_column("", justify="left")
    table.add_column("class")
    table.add_column("IoU %", justify="right")
    table.add_column("points", justify="right")
    for name, iou in metrics["iou"].items():
        red, green, blue = CLASS_COLOURS[CLASS_NAMES.index(name)]
        points = metrics["num_points_by_class"][name]
        table.add_row(f"[rgb({red},{green},{blue})]##[/]", name, f"{100 * iou:.1f}", f"{points:,}")
    table.add_section()
    table.add_row("", "mean of those present", f"{100 * metrics['miou_present']:.1f}", f"{metrics['num_points']:,}")
    table.add_row("", "mean of all 19 (official)", f"{100 * metrics['miou']:.1f}", "")
    _print(title, table)


def print_iou_by_distance(bands, title):
    """Prints the mean IoU of each distance band of `pvd evaluate --by-distance`."""
    table = Table()
    for name in ("distance m", "mean IoU % of those present", "points"):
        table.add_column(name, justify="right")
    for band in bands:
        distance = f"{band['from_m']} to {band['to_m']}" if band["to_m"] else f"over {band['from_m']}"
        table.add_row(distance, f"{100 * band['miou_present']:.1f}", f"{band['num_points']:,}")
    _print(title, table)


def print_confusions(labels_by_truth, title, most=3):
    """Prints, of {true class: {label: points}}, what each class is taken for and what is taken for it, in % of its true
    points and of the points with its label."""
    table = Table()
    for name in ("class", "found %", "taken for", "right %", "in truth"):
        table.add_column(name, justify="right" if "%" in name else "left")
    for name, labels in labels_by_truth.items():
        truths = {truth: counts[name] for truth, counts in labels_by_truth.items() if name in counts}
        if labels or truths:
            table.add_row(name, *_own_and_others(name, labels, most), *_own_and_others(name, truths, most))
    _print(title, table)


def _own_and_others(name, points_of, most):
    """Share of class `name` in {class: points}, and the largest of the others."""
    total = sum(points_of.values())
    if not total:
        return "-", ""
    shares = {other: 100 * points / total for other, points in points_of.items()}
    own = shares.pop(name, 0.0)
    largest = sorted(shares.items(), key=lambda item: -item[1])[:most]
    return f"{own:.1f}", ", ".join(f"{other} {share:.0f}" for other, share in largest if share >= 1)


def _print(title, table):
    # A title inside the table would be wrapped to the table's width.
    print(title)
    Console(highlight=False).print(table)
