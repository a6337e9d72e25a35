"""The figures of all drives as a table: mean and standard deviation over the seeds of each world."""

import statistics
from collections.abc import Sequence
from typing import Any

from scripts.slam_trajectory.static_points import WAYS

Rows = Sequence[dict[str, Any]]
# (column, figure of a row, digits)
_COLUMNS = (
    ("left out, %", "removed_percent", 1),
    ("of what moves left in, %", "moving_left_percent", 1),
    ("ATE, m", "ate_m", 3),
    ("error over 10 m, cm", "per_10_m_cm", 1),
    ("error a cloud, mm", "step_mm", 1),
    ("drift, %", "drift_percent", 2),
)


def markdown_of(figures: dict[str, Any]) -> str:
    """A table for each world, and how it was measured."""
    lines = [
        f"KISS-ICP {figures['kiss_icp']} on simulated drives (hdl64e, a cloud each {figures['interval_s']:g} s, "
        f"{figures['scans']} clouds a drive, seeds {', '.join(map(str, figures['seeds']))}), mean and standard "
        "deviation over the seeds. Clouds come without distortion by the vehicle's motion, as KITTI's.",
    ]
    for world in dict.fromkeys(row["world"] for row in figures["rows"]):
        rows = [row for row in figures["rows"] if row["world"] == world]
        path, moving = (statistics.mean(row[name] for row in rows) for name in ("path_m", "moving_percent"))
        lines += [
            "",
            f"World `{world}`: {path:.0f} m, {moving:.1f} % of the points are of what moves.",
            "",
            "| points | " + " | ".join(name for name, _, _ in _COLUMNS) + " |",
            "|---|" + "---:|" * len(_COLUMNS),
            *(_line(way, [row for row in rows if row["points"] == way]) for way in WAYS),
        ]
    if node := figures["node"]:
        lines += [
            "",
            f"{node['clouds']} clouds of the first `{node['world']}` drive went through the real node over ROS 2 as "
            f"well: `~/static` had the same bytes as here for {node['clouds'] - node['differing_clouds']} of them.",
        ]
    return "\n".join(lines) + "\n"


def _line(way: str, rows: Rows) -> str:
    cells = (_spread([row[figure] for row in rows], digits) for _, figure, digits in _COLUMNS)
    return f"| {way} | " + " | ".join(cells) + " |"


def _spread(values: Sequence[float | None], digits: int) -> str:
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return "-"
    deviation = f" +- {statistics.stdev(known):.{digits}f}" if len(known) > 1 else ""
    return f"{statistics.mean(known):.{digits}f}{deviation}"
