"""Trajectories from above, and the error over time: a row for each world."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from scripts.slam_trajectory.drives import RegisteredDrive
from scripts.slam_trajectory.errors import errors_since_start_m
from scripts.slam_trajectory.static_points import ALL, STATIC, STILL, TRUE_STATIC

_COLOURS = {ALL: "tab:red", STATIC: "tab:blue", TRUE_STATIC: "tab:green", STILL: "tab:orange"}


def save_picture(path: Path, drives: Sequence[RegisteredDrive]) -> None:
    """Writes a PNG. From above: the first drive of each world. Over time: all of them, and their mean as a thick line.
    Errors are those of positions where both trajectories begin alike."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    worlds = list(dict.fromkeys(drive.world for drive in drives))
    figure = Figure(figsize=(12, 3.2 * len(worlds)), layout="constrained")
    FigureCanvasAgg(figure)
    for (above, over_time), world in zip(figure.subplots(len(worlds), 2, squeeze=False), worlds, strict=True):
        of_world = [drive for drive in drives if drive.world == world]
        _draw_from_above(above, of_world[0])
        _draw_over_time(over_time, of_world)
        above.set_title(f"{world}, seed {of_world[0].seed}, from above")
        over_time.set_title(f"{world}, error over time, {len(of_world)} drives")
    figure.axes[1].legend(fontsize="small")
    figure.savefig(path, dpi=100, format="png")


def _draw_from_above(axes, drive: RegisteredDrive) -> None:
    axes.plot(*drive.true[:, :2, 3].T, color="black", linewidth=4, alpha=0.3, label="true")
    for way, poses in drive.estimated.items():
        axes.plot(*poses[:, :2, 3].T, color=_COLOURS[way], linewidth=1)
    axes.set_aspect("equal", adjustable="datalim")
    axes.set_xlabel("m")
    axes.set_ylabel("m")
    axes.legend(fontsize="small")


def _draw_over_time(axes, drives: Sequence[RegisteredDrive]) -> None:
    for way, colour in _COLOURS.items():
        errors = np.array([errors_since_start_m(drive.estimated[way], drive.true) for drive in drives])
        axes.plot(drives[0].stamps_s, errors.T, color=colour, linewidth=0.6, alpha=0.4)
        axes.plot(drives[0].stamps_s, errors.mean(axis=0), color=colour, linewidth=2, label=way)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("s")
    axes.set_ylabel("m")
