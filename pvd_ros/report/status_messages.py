"""Latency and health as standard messages.

~/latency         diagnostic_msgs/DiagnosticArray for each labelled cloud, under its header: ms of each stage.
~/latency_window  std_msgs/Float64MultiArray, once a second: rows are stages, columns p50, p90, p99 in ms; the labels of
                  the dimensions name them ("stage: queue, decode, ..." and "percentile: p50, p90, p99").
~/classes         std_msgs/Float64MultiArray, once a second: rows are classes, columns points, share, mean_confidence.
/diagnostics      diagnostic_msgs/DiagnosticArray, once a second: health, counters, percentiles.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pvd_ros.report.class_window import COLUMNS
from pvd_ros.report.health import Health
from pvd_ros.report.latency import PERCENTILES


def latency_message(header: Any, node_name: str, timings_ms: Mapping[str, float]) -> Any:
    """A DiagnosticArray with the milliseconds of each stage of one cloud, whose header is `header`."""
    from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus

    status = DiagnosticStatus(
        level=DiagnosticStatus.OK, name=f"{node_name}: latency", values=_key_values(timings_ms, "{:.3f}")
    )
    return DiagnosticArray(header=header, status=[status])


def latency_window_message(percentiles: Mapping[str, Mapping[str, float]]) -> Any:
    """A Float64MultiArray with what LatencyWindow.percentiles returns, for plotting."""
    columns = [f"p{p}" for p in PERCENTILES]
    data = [row[column] for row in percentiles.values() for column in columns]
    return _table("stage", list(percentiles), "percentile", columns, data)


def classes_message(names: Sequence[str], table: np.ndarray) -> Any:
    """A Float64MultiArray with what ClassWindow.close_second returns, (C - 1, 3); `names`: those of the C classes."""
    return _table("class", names[1:], "column", COLUMNS, table.ravel().tolist())


def _table(row: str, rows: Sequence[str], column: str, columns: Sequence[str], data: list[float]) -> Any:
    from std_msgs.msg import Float64MultiArray, MultiArrayDimension

    message = Float64MultiArray(data=data)
    message.layout.dim = [
        MultiArrayDimension(label=f"{row}: {', '.join(rows)}", size=len(rows), stride=len(data)),
        MultiArrayDimension(label=f"{column}: {', '.join(columns)}", size=len(columns), stride=len(columns)),
    ]
    return message


def diagnostics_message(
    stamp: Any,
    node_name: str,
    hardware: str,
    health: Health,
    counts: Mapping[str, int],
    percentiles: Mapping[str, Mapping[str, float]],
) -> Any:
    """A DiagnosticArray with health, counters and percentiles as one status named "<node>: labelling".

    stamp: builtin_interfaces/Time. hardware: the device, such as "cpu". percentiles: of LatencyWindow, in ms.
    """
    from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus

    flat = {f"{stage}_{name}_ms": value for stage, row in percentiles.items() for name, value in row.items()}
    status = DiagnosticStatus(
        level=bytes([health.level]),
        name=f"{node_name}: labelling",
        message=health.message,
        hardware_id=hardware,
        values=_key_values(counts, "{}") + _key_values(flat, "{:.3f}"),
    )
    message = DiagnosticArray(status=[status])
    message.header.stamp = stamp
    return message


def _key_values(values: Mapping[str, float], form: str) -> list[Any]:
    from diagnostic_msgs.msg import KeyValue

    return [KeyValue(key=name, value=form.format(value)) for name, value in values.items()]
