"""One real and one simulated scan as range images, each kind of the one above that of the other."""

from training.realism.pictures import BACKGROUND, TEXT, bare, class_legend, plt, ray_image, save_figure

_KINDS = {"depth": "depth (bright is near)", "intensity": "intensity", "class": "labels"}
_SECTOR = slice(128, 896)  # of the range image's columns: what lies ahead and beside, 135 degrees to both sides
# Shares of the figure's height.
_TOP, _TITLE, _GAP = 0.955, 0.03, 0.006
_BLOCK = (_TOP - 0.075) / len(_KINDS)
_IMAGE = (_BLOCK - _TITLE - _GAP) / 2


def save_pair(path, real, simulated, credit=""):
    """Writes a PNG with depth, intensity and labels of two MeasuredScans; returns its path. `credit`: whose scan the
    real one is and its licence."""
    figure = plt.figure(figsize=(15, 9.6), facecolor=BACKGROUND)
    for block, (kind, title) in enumerate(_KINDS.items()):
        for row, (name, scan) in enumerate((("real", real), ("simulated", simulated))):
            axis = figure.add_axes((0.03, _bottom(block, row), 0.96, _IMAGE))
            axis.imshow(ray_image(scan, kind)[:, _SECTOR], aspect="auto", interpolation="nearest")
            bare(axis)
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


def _bottom(block, row):
    """Rows of one kind stand close, kinds apart."""
    return _TOP - block * _BLOCK - _TITLE - (row + 1) * _IMAGE - row * _GAP
