"""Pictures of real scans beside simulated ones: from above, and as range images."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np

from pvd_core.borders.files import written_atomically
from training.realism.families import CLASSES
from training.realism.rays import range_image
from training.realism.scans import MeasuredScan

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

BACKGROUND = "#14171a"
TEXT = "#e4e7ea"
FAINT = "#3a4149"
_EMPTY = (0.055, 0.062, 0.07)
_HALF_WIDTH_M = 40.0
_NUM_CELLS = 480
_DPI = 110
_VIEWS = ("class", "intensity", "height")
_IMAGES = ("depth", "intensity", "class")


def save_views_from_above(folder: Path, real: Sequence[MeasuredScan], simulated: Sequence[MeasuredScan]) -> list[Path]:
    """Writes `above_class.png`, `above_intensity.png`, `above_height.png`: real scans in the upper row, simulated
    ones in the lower; returns the paths. The vehicle is in the middle, its front up."""
    return [save_figure(folder / f"above_{view}.png", _draw_above(real, simulated, view)) for view in _VIEWS]


def save_range_images(folder: Path, real: Sequence[MeasuredScan], simulated: Sequence[MeasuredScan]) -> list[Path]:
    """Writes `rays_depth.png`, `rays_intensity.png`, `rays_class.png` into `folder`; returns their paths. Real scans
    are left, simulated ones right; in an image the middle column is forward, the top row is the highest ring."""
    return [save_figure(folder / f"rays_{kind}.png", _draw_rays(real, simulated, kind)) for kind in _IMAGES]


def save_figure(path: Path, figure: Figure) -> Path:
    """Writes `figure` as a PNG and closes it; returns `path`."""
    with written_atomically(path) as temporary:
        figure.savefig(temporary, format="png", facecolor=BACKGROUND, dpi=_DPI)
    plt.close(figure)
    return path


def _draw_above(real: Sequence[MeasuredScan], simulated: Sequence[MeasuredScan], view: str) -> Figure:
    num_columns = max(len(real), len(simulated))
    figure, axes = plt.subplots(
        2, num_columns, figsize=(4.6 * num_columns, 9.9), facecolor=BACKGROUND, squeeze=False, layout="constrained"
    )
    for row, (kind, scans) in enumerate((("real", real), ("simulated", simulated))):
        for axis in axes[row, len(scans) :]:
            axis.set_visible(False)
        for axis, scan in zip(axes[row], scans, strict=False):
            axis.imshow(_from_above(scan, _colours(scan, view)), interpolation="nearest")
            axis.plot(
                _NUM_CELLS / 2, _NUM_CELLS / 2, marker="^", color="white", markersize=6, markeredgecolor=BACKGROUND
            )
            _label_image(axis, f"{kind} {scan.name}")
    _title(figure, f"from above, 80 m wide, coloured by {view}")
    if view == "class":
        class_legend(figure, (*real, *simulated))
    return figure


def _from_above(scan: MeasuredScan, colours: np.ndarray) -> np.ndarray:
    """RGB (_NUM_CELLS, _NUM_CELLS, 3): x (forward) is up, y (left) is left. Of points in one cell the highest
    shows."""
    cells = ((_HALF_WIDTH_M - scan.points[:, :2]) * (_NUM_CELLS / (2 * _HALF_WIDTH_M))).astype(np.int64)
    order = np.flatnonzero((np.abs(scan.points[:, :2]) < _HALF_WIDTH_M).all(axis=1))
    order = order[np.argsort(scan.points[order, 2], kind="stable")]
    image = np.full((_NUM_CELLS, _NUM_CELLS, 3), _EMPTY)
    image[cells[order, 0], cells[order, 1]] = colours[order]
    return image


def _draw_rays(real: Sequence[MeasuredScan], simulated: Sequence[MeasuredScan], kind: str) -> Figure:
    num_rows = max(len(real), len(simulated))
    figure, axes = plt.subplots(
        num_rows, 2, figsize=(19.5, 1.75 * num_rows + 1.1), facecolor=BACKGROUND, squeeze=False, layout="constrained"
    )
    for column, (name, scans) in enumerate((("real", real), ("simulated", simulated))):
        for axis in axes[len(scans) :, column]:
            axis.set_visible(False)
        for axis, scan in zip(axes[:, column], scans, strict=False):
            axis.imshow(ray_image(scan, kind), aspect="auto", interpolation="nearest")
            _label_image(axis, f"{name} {scan.name}")
    _title(figure, f"range images, coloured by {kind}; forward in the middle, black where no ray came back")
    if kind == "class":
        class_legend(figure, (*real, *simulated))
    return figure


def ray_image(scan: MeasuredScan, kind: str) -> np.ndarray:
    """Range image, RGB in 0..1, (NUM_RINGS, NUM_COLUMNS, 3); `kind`: depth, intensity or class."""
    colours = _colours(scan, kind)
    image = np.stack([range_image(scan, colours[:, channel], np.nan) for channel in range(3)], axis=-1)
    return np.where(np.isnan(image), _EMPTY, image)


def _colours(scan: MeasuredScan, view: str) -> np.ndarray:
    """RGB (N, 3) in 0..1."""
    if view == "class":
        return class_colours()[scan.class_ids]
    if view == "intensity":
        # The square root brightens low intensities, which nearly all real points have.
        return matplotlib.colormaps["inferno"](0.08 + 0.92 * np.sqrt(np.clip(scan.points[:, 3], 0, 1)))[:, :3]
    if view == "height":
        return matplotlib.colormaps["turbo"](0.06 + 0.88 * np.clip((scan.points[:, 2] + 2.5) / 7, 0, 1))[:, :3]
    nearness = 1 - np.clip(np.log(scan.ranges / 2.5) / np.log(80 / 2.5), 0, 1)
    return matplotlib.colormaps["viridis"](0.06 + 0.94 * nearness)[:, :3]


def class_colours() -> np.ndarray:
    """RGB (classes, 3) in 0..1: the official colours, the darkest made lighter to show on a dark background."""
    palette = CLASSES.colours.astype(float) / 255
    palette[0] = (0.35, 0.38, 0.41)
    luminance = palette @ (0.299, 0.587, 0.114)
    lift = np.clip((0.28 - luminance) / (1 - luminance), 0, None)[:, None]
    return palette + lift * (1 - palette)


def _label_image(axis: Axes, name: str) -> None:
    axis.set_title(name, color=TEXT, fontsize=10, pad=3)
    hide_ticks(axis)


def hide_ticks(axis: Axes) -> None:
    """Removes ticks and labels around an image; a faint frame stays."""
    axis.set_facecolor(_EMPTY)
    axis.set_xticks([])
    axis.set_yticks([])
    for spine in axis.spines.values():
        spine.set_color(FAINT)


def _title(figure: Figure, text: str) -> None:
    figure.suptitle(text, color=TEXT, fontsize=12)


def class_legend(figure: Figure, scans: Sequence[MeasuredScan]) -> None:
    """Adds a legend with the colours of the classes that occur in `scans`."""
    class_ids = np.unique(np.concatenate([np.unique(scan.class_ids) for scan in scans]))
    palette = class_colours()
    handles = [
        Line2D([], [], marker="s", linestyle="", markersize=8, color=palette[class_id], label=CLASSES.names[class_id])
        for class_id in class_ids
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=10, frameon=False, labelcolor=TEXT, fontsize=9)
