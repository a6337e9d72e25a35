"""What became of the clouds of a case: a row of figures, and rows as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pvd_core.borders.errors import UserError
from scripts.delivery.case import SHIPPED, Case

Row = dict[str, Any]
_COLUMNS = {
    "settings": "settings",
    "reliability": "delivery",
    "points": "points",
    "rate_hz": "Hz",
    "sent": "sent",
    "received": "received",
    "lost_percent": "lost, %",
    "median_ms": "median, ms",
    "p99_ms": "p99, ms",
    "publisher_cpu_percent": "CPU of publisher, %",
    "subscriber_cpu_percent": "of subscriber, %",
}
_WORDS = ("settings", "reliability")


def row_of(case: Case, sent: Mapping[str, Any], heard: Mapping[str, Any]) -> Row:
    """The row of a case from what its processes report.

    median_ms, p99_ms: from publish to callback, None where nothing was received. ..._cpu_percent: processor time over
    the time of sending; 100 is one core. UserError if the subscriber had not found the publisher when sending began:
    clouds would count as lost that nobody could hear.
    """
    if not heard["warm_ups"]:
        raise UserError(
            "the subscriber heard none of the small clouds before those that count, so it had not found the publisher "
            "yet; try again when the machine is less busy"
        )
    arrivals = dict(heard["heard"])
    latencies_ms = [1e-6 * (arrivals[stamp] - stamp) for stamp in sent["stamps"] if stamp in arrivals]
    num_sent, num_received = len(sent["stamps"]), len(latencies_ms)
    return {
        "middleware": heard["middleware"],
        "settings": case.settings,
        "settings_file": Path(heard["settings"]).name if case.settings == SHIPPED else None,
        "reliability": case.reliability,
        "points": case.num_points,
        "rate_hz": case.rate_hz,
        "seconds": case.seconds,
        "sent": num_sent,
        "received": num_received,
        "lost": num_sent - num_received,
        "lost_percent": round(100 * (num_sent - num_received) / num_sent, 1),
        "median_ms": round(float(np.median(latencies_ms)), 2) if latencies_ms else None,
        "p99_ms": round(float(np.percentile(latencies_ms, 99)), 2) if latencies_ms else None,
        "publisher_cpu_percent": round(100 * sent["cpu_s"] / case.seconds, 1),
        "subscriber_cpu_percent": round(100 * heard["cpu_s"] / case.seconds, 1),
    }


def markdown_of(figures: Mapping[str, Any]) -> str:
    """Where and how it was measured, and all rows as a table."""
    rows: Sequence[Row] = figures["rows"]
    files = ", ".join(sorted({row["settings_file"] for row in rows if row["settings_file"]})) or "not measured"
    loads = [row["load"] for row in rows]
    lines = [
        f"{rows[0]['middleware']}, {figures['cpu']}, {figures['cores']} cores, net.core.rmem_max "
        f"{figures['rmem_max']}. Load average {loads[0]:.2f} before the first row, at most {max(loads):.2f} before "
        f"another. Clouds of 16 bytes a point, {rows[0]['seconds']:g} s a row, from one Python process of this "
        f"machine to another. Times are from publish to callback; 100 % CPU is one core. Shipped settings: {files}.",
        "",
        f"| {' | '.join(_COLUMNS.values())} |",
        "|" + "".join("---|" if name in _WORDS else "---:|" for name in _COLUMNS),
        *(f"| {' | '.join(_shown(row[name]) for name in _COLUMNS)} |" for row in rows),
    ]
    return "\n".join(lines) + "\n"


def _shown(value: str | float | None) -> str:
    return "-" if value is None else f"{value:,}" if isinstance(value, int) else str(value).replace("_", " ")
