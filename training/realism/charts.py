"""Charts of the measures: real scans as a grey area with the spread of their sequences, simulated scans as an orange
line."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from training.realism.families import CLASSES, Family
from training.realism.gaps import FAMILIES, Gap
from training.realism.pictures import BACKGROUND, FAINT, TEXT, plt, save_figure
from training.realism.points import BAND_NAMES

_REAL, _SIMULATED = "#aeb6bf", "#f2994a"
_NUM_COLUMNS = 4
_SUBJECTS = ("all", *CLASSES.names, *BAND_NAMES)


def save_charts(folder: Path, gaps: Sequence[Gap]) -> dict[str, Path]:
    """Writes one PNG into `folder` for each family of measures, with a chart of each subject; returns {title: path}."""
    paths = {}
    for family in FAMILIES:
        members = sorted((gap for gap in gaps if gap.family is family), key=_subject_order)
        if members:
            name = f"{family.name} {members[0].subject}" if not family.is_distribution else family.name
            paths[family.title] = save_figure(folder / f"chart_{name.replace(' ', '_')}.png", _draw(family, members))
    return paths


def _subject_order(gap: Gap) -> int:
    return _SUBJECTS.index(gap.subject) if gap.subject in _SUBJECTS else len(_SUBJECTS)


def _draw(family: Family, gaps: Sequence[Gap]) -> Figure:
    num_columns = min(_NUM_COLUMNS, len(gaps))
    num_rows = -(-len(gaps) // num_columns)
    width = 19 / _NUM_COLUMNS * num_columns if num_columns > 1 else 11
    figure, axes = plt.subplots(
        num_rows,
        num_columns,
        figsize=(width, (4.6 if family.categories else 2.9) * num_rows + 0.9),
        facecolor=BACKGROUND,
        squeeze=False,
        layout="constrained",
    )
    for axis in axes.ravel()[len(gaps) :]:
        axis.set_visible(False)
    for axis, gap in zip(axes.ravel(), gaps, strict=False):
        (_draw_bars if family.categories else _draw_steps)(axis, gap)
        axis.set_title(f"{gap.subject}   gap {gap.distance:.2f} (real scenes {gap.floor:.2f})", color=TEXT, fontsize=10)
        axis.set_facecolor(BACKGROUND)
        axis.tick_params(colors=TEXT, labelsize=8)
        for spine in axis.spines.values():
            spine.set_color(FAINT)
    unit = f" ({family.unit})" if family.unit else ""
    figure.suptitle(f"{family.title}{unit}: grey real, orange simulated", color=TEXT, fontsize=12)
    return figure


def _draw_steps(axis: Axes, gap: Gap) -> None:
    edges = gap.family.edges
    low, high = np.quantile(gap.real_SB, (0.1, 0.9), axis=0)
    axis.stairs(gap.real, edges, fill=True, color=_REAL, alpha=0.45)
    axis.stairs(high, edges, baseline=low, fill=True, color=_REAL, alpha=0.35)
    axis.stairs(gap.simulated, edges, color=_SIMULATED, linewidth=1.6)
    axis.set_xlim(edges[0], edges[-1])
    axis.set_ylim(0, 1.08 * max(gap.real.max(), gap.simulated.max(), 1e-6))
    if gap.family.is_logarithmic:
        axis.set_xscale("log")


def _draw_bars(axis: Axes, gap: Gap) -> None:
    names = gap.family.categories
    positions = np.arange(len(names))[::-1]
    axis.barh(positions + 0.2, 100 * gap.real, 0.38, color=_REAL)
    axis.barh(positions - 0.2, 100 * gap.simulated, 0.38, color=_SIMULATED)
    axis.set_yticks(positions, names)
    # Rare classes would be invisible on a linear scale.
    if len(names) == CLASSES.num_classes - 1:
        axis.set_xscale("symlog", linthresh=0.1)
        axis.set_xticks([0.1, 1, 10, 50], ["0.1 %", "1 %", "10 %", "50 %"])
        axis.set_xlim(0, 80)
