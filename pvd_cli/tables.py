"""Tables in the terminal: latency by stage, IoU by class and by distance, confusions."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from pvd_core.taxonomy import Taxonomy
from pvd_ros.report.latency import PERCENTILES

if TYPE_CHECKING:
    from training.judge.metrics import ConfusionMatrix


def print_latency(latency_ms: Mapping[str, Mapping[str, float]], title: str) -> None:
    """Prints {stage: {"p50", "p90", "p99"}} in milliseconds."""
    table = Table()
    table.add_column("stage")
    for p in PERCENTILES:
        table.add_column(f"p{p} ms", justify="right")
    for stage, values in latency_ms.items():
        table.add_row(stage.replace("_", " "), *(f"{values[f'p{p}']:.1f}" for p in PERCENTILES))
    _print(title, table)


def print_class_table(confusion: "ConfusionMatrix", title: str) -> None:
    """Prints the IoU of each class that occurs in the truth."""
    num_points = confusion.points_by_name()
    metrics = {
        "iou": {name: iou for name, iou in confusion.iou_by_name().items() if num_points[name]},
        "miou": confusion.miou(),
        "miou_present": confusion.miou(present_only=True),
        "num_points": confusion.num_points,
        "num_points_by_class": num_points,
    }
    print_iou(metrics, confusion.taxonomy, title)


def print_iou(metrics: Mapping[str, Any], taxonomy: Taxonomy, title: str) -> None:
    """Prints the IoU of each class of `taxonomy` and the means. `metrics` has "iou" {class: 0..1}, "miou",
    "miou_present", "num_points" and "num_points_by_class", as `training.judge.evaluate.evaluate` returns them."""
    has_colours = Console().color_system is not None
    table = Table()
    table.add_column("class")
    table.add_column("IoU %", justify="right")
    table.add_column("points", justify="right")
    for name, iou in metrics["iou"].items():
        red, green, blue = taxonomy.colours[taxonomy.id_of(name)]
        chip = f"[on rgb({red},{green},{blue})]  [/] " if has_colours else ""
        table.add_row(f"{chip}{name}", f"{100 * iou:.1f}", f"{metrics['num_points_by_class'][name]:,}")
    table.add_section()
    table.add_row("mean of those present", f"{100 * metrics['miou_present']:.1f}", f"{metrics['num_points']:,}")
    table.add_row(f"mean of all {taxonomy.num_classes - 1} (official)", f"{100 * metrics['miou']:.1f}", "")
    _print(title, table)


def print_calibration(calibration: Mapping[str, Any]) -> None:
    """Prints a line on confidences. `calibration`: that of what `evaluate` returns."""
    ece, said, right = (100 * calibration[name] for name in ("ece", "mean_confidence", "right"))
    fitted_on = ", ".join(calibration["fitted_on"])
    note = f" (the temperature was fitted on {fitted_on}, which is among these)" if fitted_on else ""
    print(f"expected calibration error {ece:.1f} %: confidences are {said:.1f} % and {right:.1f} % are right{note}")


def print_iou_by_distance(bands: Iterable[Mapping[str, Any]], title: str) -> None:
    """Prints the mean IoU of each distance band. `bands`: "by_distance" of what `evaluate` returns."""
    table = Table()
    for name in ("distance m", "mean IoU % of those present", "points"):
        table.add_column(name, justify="right")
    for band in bands:
        distance = f"{band['from_m']} to {band['to_m']}" if band["to_m"] else f"over {band['from_m']}"
        table.add_row(distance, f"{100 * band['miou_present']:.1f}", f"{band['num_points']:,}")
    _print(title, table)


def print_confusions(labels_by_truth: Mapping[str, Mapping[str, int]], title: str, most: int = 3) -> None:
    """Prints a row for each class of {true class: {predicted class: points}}.

    "found %" and "taken for": recall, and the classes most often predicted for its points, in % of these points.
    "right %" and "in truth": precision, and the classes that points predicted as it most often are, in % of these.
    At most `most` other classes are named.
    """
    table = Table()
    for name in ("class", "found %", "taken for", "right %", "in truth"):
        table.add_column(name, justify="right" if "%" in name else "left")
    for name, labels in labels_by_truth.items():
        truths = {truth: counts[name] for truth, counts in labels_by_truth.items() if name in counts}
        if labels or truths:
            table.add_row(name, *_own_and_others(name, labels, most), *_own_and_others(name, truths, most))
    _print(title, table)


def _own_and_others(name: str, points_of: Mapping[str, int], most: int) -> tuple[str, str]:
    """The share of class `name` in {class: points}, in %, and those of the `most` largest other classes."""
    total = sum(points_of.values())
    if not total:
        return "-", ""
    shares = {other: 100 * points / total for other, points in points_of.items()}
    own = shares.pop(name, 0.0)
    largest = sorted(shares.items(), key=lambda item: -item[1])[:most]
    return f"{own:.1f}", ", ".join(f"{other} {share:.0f}" for other, share in largest if share >= 1)


def _print(title: str, table: Table) -> None:
    # rich would wrap a title inside the table to the width of the table.
    print(title)
    Console(highlight=False).print(table)
