"""The picture of a grid: a bar for the mean of each row, a whisker for its standard deviation, a dot for each seed;
beside it, where costs were measured, the scores over the time that a scan takes."""

from pathlib import Path
from typing import Any

from training.ablation.report import metric_name


def draw_chart(results: dict[str, Any], path: Path) -> Path | None:
    """Writes what `results.collect` returns as a PNG. Returns the path, or None if matplotlib is not installed or no
    run has finished."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return None
    rows = [row for row in results["rows"] if row["seeds"]]
    if not rows:
        return None
    with_cost = [row for row in rows if row.get("cost")]
    height = 1.2 + 0.4 * len(rows)
    figure = Figure(figsize=(14, max(4, height)) if with_cost else (8, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes, *beside = figure.subplots(1, 2 if with_cost else 1, squeeze=False)[0]
    for place, row in enumerate(rows):
        colour = "tab:gray" if row["name"] == results["reference"] else "tab:blue"
        axes.barh(
            place, 100 * row["score_mean"], xerr=100 * (row["score_std"] or 0), color=colour, alpha=0.5, capsize=3
        )
        axes.plot([100 * score for score in row["scores"]], [place] * len(row["scores"]), "k.", markersize=4)
    axes.set_yticks(range(len(rows)), [row["label"] for row in rows])
    axes.invert_yaxis()
    scores = [100 * score for row in rows for score in row["scores"]]
    # The scores of rows are close together, so the axis starts a little below the smallest one, and its label says so.
    start = max(0.0, min(scores) - 0.5 * (max(scores) - min(scores)) - 1)
    axes.set(title=results["title"], xlabel=f"{metric_name(results['metric'])}, % (axis from {start:.0f})")
    axes.set_xlim(left=start)
    axes.grid(axis="x", alpha=0.3)
    for right in beside:
        _draw_costs(right, with_cost)
    figure.savefig(path, dpi=100)
    return path


def _draw_costs(axes: Any, rows: list[dict[str, Any]]) -> None:
    """A dot for each row at its time and score, its area by the peak memory."""
    for row in rows:
        cost = row["cost"]
        place = cost["latency_ms"], 100 * row["score_mean"]
        axes.scatter(*place, s=cost.get("peak_mb", 500.0) / 5, alpha=0.5)
        memory = f", {cost['peak_mb']:.0f} MB" if "peak_mb" in cost else ""
        axes.annotate(f"{row['label']}\n{cost['gmacs']:.1f} GMAC{memory}", place, fontsize=7, ha="center", va="center")
    axes.set(title="up and to the left is better", xlabel="ms from points to labels", ylabel="score, %")
    axes.set_xlim(left=0)
    axes.margins(0.2)
    axes.grid(alpha=0.3)
