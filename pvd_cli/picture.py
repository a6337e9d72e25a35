"""Bird's-eye pictures of a cloud: the input, the predicted labels, and the truth where it is known."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np

from pvd_core.borders.files import written_atomically
from pvd_core.taxonomy import Taxonomy

matplotlib.use("Agg")
from matplotlib import patheffects
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

_BACKGROUND = "#101418"
_TEXT = "#e6e9ec"
_FAINT = "#39424c"
_NOT_LABELLED = (90, 96, 104)
_HALF_WIDTH_M = 40.0
_HALF_HEIGHT_M = 40.0
_PANEL_INCHES = 7.2


def save_prediction_picture(
    path: str | Path,
    points: np.ndarray,
    labels: np.ndarray,
    taxonomy: Taxonomy,
    truth: np.ndarray | None = None,
    title: str = "",
) -> None:
    """Writes a PNG with the panels input, labels and, if it is given, truth, and a legend of the classes in them.

    points: float32 (N, 4), x, y, z in metres in the sensor's frame, intensity. labels, truth: class ids of
    `taxonomy` (N,). The sensor is in the middle; forward is up.
    """
    panels = {
        "input (colour: height, brightness: intensity)": input_colours(points),
        "labels": class_colours(labels, taxonomy),
    }
    shown = [labels]
    if truth is not None:
        panels["truth"] = class_colours(truth, taxonomy)
        shown.append(truth)
    save_panels(path, points, panels, class_legend(np.unique(np.concatenate(shown)), taxonomy), title)


def save_panels(
    path: str | Path,
    points: np.ndarray,
    panels: Mapping[str, np.ndarray],
    legend: Mapping[str, np.ndarray] | None = None,
    title: str = "",
) -> None:
    """Writes a PNG with one bird's-eye panel for each of `panels`, {name: RGB (N, 3) in 0..1}, and a legend, {name: RGB
    in 0..1}. points: float32 (N, 4); those that are not measured or are far away are left out."""
    is_drawn = np.isfinite(points[:, :3]).all(axis=1) & (points[:, :3] != 0).any(axis=1)
    is_drawn &= (np.abs(points[:, 1]) < _HALF_WIDTH_M) & (np.abs(points[:, 0]) < _HALF_HEIGHT_M)
    # Drawn from the lowest to the highest, as seen from above.
    order = np.flatnonzero(is_drawn)
    order = order[np.argsort(points[order, 2], kind="stable")]
    drawn = [(name, colours[order]) for name, colours in panels.items()]
    figure = _draw(points[order], drawn, legend or {}, title)
    with written_atomically(path) as temporary:
        figure.savefig(temporary, format="png", facecolor=_BACKGROUND, dpi=110)
    plt.close(figure)


def class_colours(class_ids: np.ndarray, taxonomy: Taxonomy) -> np.ndarray:
    """RGB (N, 3) in 0..1 of class ids (N,): the official colours, made lighter where they are too dark for a dark
    background; class 0 is grey instead of black."""
    palette = taxonomy.colours.astype(float) / 255
    palette[0] = np.array(_NOT_LABELLED) / 255
    luminance = palette @ (0.299, 0.587, 0.114)
    lift = np.clip((0.28 - luminance) / (1 - luminance), 0, None)[:, None]
    return (palette + lift * (1 - palette))[class_ids]


def class_legend(class_ids: Sequence[int] | np.ndarray, taxonomy: Taxonomy) -> dict[str, np.ndarray]:
    """{class name: RGB in 0..1} of some classes, as `class_colours` has them."""
    return {taxonomy.names[class_id]: class_colours(np.array([class_id]), taxonomy)[0] for class_id in class_ids}


def input_colours(points: np.ndarray) -> np.ndarray:
    """RGB (N, 3) in 0..1 of `points`, float32 (N, 4): height as colour, intensity as brightness."""
    height = np.clip((np.nan_to_num(points[:, 2]) + 2.5) / 6.0, 0, 1)
    colours = matplotlib.colormaps["turbo"](0.1 + 0.8 * height)[:, :3]
    intensity = np.nan_to_num(points[:, 3])
    largest = np.quantile(intensity, 0.98) if len(intensity) else 0
    brightness = 0.65 + 0.35 * np.clip(intensity / largest, 0, 1)[:, None] if largest > 0 else 1.0
    return colours * brightness


def _draw(
    points: np.ndarray,
    panels: Sequence[tuple[str, np.ndarray]],
    legend: Mapping[str, np.ndarray],
    title: str,
) -> Figure:
    figure, axes = plt.subplots(
        1, len(panels), figsize=(_PANEL_INCHES * len(panels), _PANEL_INCHES + 1.3), facecolor=_BACKGROUND, squeeze=False
    )
    for axis, (name, colours) in zip(axes[0], panels, strict=True):
        _draw_rings(axis)
        # x forward becomes up, y left becomes left.
        axis.scatter(-points[:, 1], points[:, 0], c=colours, s=1.3, linewidths=0, rasterized=True)
        axis.plot(0, 0, marker="^", color="white", markersize=7, markeredgecolor=_BACKGROUND)
        axis.set_title(name, color=_TEXT, fontsize=13, pad=8)
        axis.set(xlim=(-_HALF_WIDTH_M, _HALF_WIDTH_M), ylim=(-_HALF_HEIGHT_M, _HALF_HEIGHT_M), facecolor=_BACKGROUND)
        axis.set_aspect("equal")
        axis.set_xticks([])
        axis.set_yticks([])
        for spine in axis.spines.values():
            spine.set_color(_FAINT)
    _draw_legend(figure, legend, num_columns=5 * len(panels))
    if title:
        figure.suptitle(title, color=_TEXT, fontsize=14, y=0.985)
    figure.subplots_adjust(left=0.01, right=0.99, top=0.91 if title else 0.95, bottom=0.11, wspace=0.02)
    return figure


def _draw_rings(axis: Axes) -> None:
    for radius_m in (10, 20, 30):
        axis.add_patch(plt.Circle((0, 0), radius_m, fill=False, color=_FAINT, linewidth=0.6, zorder=0))
        # Outlined and above all points, which are as light as the letters.
        axis.text(
            0.6, -radius_m + 0.5, f"{radius_m} m", color=_TEXT, fontsize=9, zorder=10,
            path_effects=[patheffects.withStroke(linewidth=3, foreground=_BACKGROUND)],
        )  # fmt: skip


def _draw_legend(figure: Figure, legend: Mapping[str, np.ndarray], num_columns: int) -> None:
    if not legend:
        return
    handles = [
        Line2D([], [], marker="s", linestyle="", markersize=9, color=tuple(colour)) for colour in legend.values()
    ]
    figure.legend(
        handles, list(legend), loc="lower center", ncols=num_columns, frameon=False, labelcolor=_TEXT, fontsize=11,
        handletextpad=0.3, columnspacing=1.4,
    )  # fmt: skip
