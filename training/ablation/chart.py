"""The picture of a grid: a bar for the mean of each row, a whisker for its standard deviation, a dot for each seed."""

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
    figure = Figure(figsize=(8, 1.2 + 0.4 * len(rows)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
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
    figure.savefig(path, dpi=100)
    return path
