"""A picture of one real and one simulated scan: range images of depth, intensity and labels, one above the other."""

from pathlib import Path

from training.realism.pictures import BACKGROUND, TEXT, class_legend, hide_ticks, plt, ray_image, save_figure
from training.realism.scans import MeasuredScan

_KINDS = {"depth": "depth (bright is near)", "intensity": "intensity", "class": "labels"}
_SECTOR = slice(128, 896)  # columns of the range image: 135 degrees to both sides of forward
# Positions and sizes, as shares of the height of the figure.
_TOP, _TITLE, _GAP = 0.955, 0.03, 0.006
_BLOCK = (_TOP - 0.075) / len(_KINDS)
_IMAGE = (_BLOCK - _TITLE - _GAP) / 2


def save_pair(path: Path, real: MeasuredScan, simulated: MeasuredScan, credit: str = "") -> Path:
    """Writes a PNG with depth, intensity and labels of both scans; returns its path. `credit`: owner and licence of the
    real scan."""
    figure = plt.figure(figsize=(15, 9.6), facecolor=BACKGROUND)
    for block, (kind, title) in enumerate(_KINDS.items()):
        for row, (name, scan) in enumerate((("real", real), ("simulated", simulated))):
            axis = figure.add_axes((0.03, _bottom(block, row), 0.96, _IMAGE))
            axis.imshow(ray_image(scan, kind)[:, _SECTOR], aspect="auto", interpolation="nearest")
            hide_ticks(axis)
            axis.set_ylabel(name, color=TEXT, fontsize=11)
            if row == 0:
                axis.set_title(title, color=TEXT, fontsize=11, loc="left", pad=4)
    figure.text(
        0.03, 0.985, "A real and a simulated scan of a 64-beam sensor", color=TEXT, fontsize=13, ha="left", va="top"
    )
    source = f"; real scan: {credit}" if credit else ""
    figure.text(
        0.99, 0.985, f"forward in the middle, 135 degrees to both sides{source}", color=TEXT, fontsize=10, ha="right",
        va="top",
    )  # fmt: skip
    class_legend(figure, (real, simulated))
    return save_figure(path, figure)


def _bottom(block: int, row: int) -> float:
    """Lower edge of an image. The two rows of one kind are close together, the kinds are further apart."""
    return _TOP - block * _BLOCK - _TITLE - (row + 1) * _IMAGE - row * _GAP
