"""Latency of each stage: the last measurements, their percentiles, and a table of these."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from threading import Lock

import numpy as np

PERCENTILES = (50, 90, 99)
STAGES = {
    "queue": "arrival in the process to start of work (waiting for the cloud before it)",
    "decode": "PointCloud2 to points",
    "history": "waiting for the pose of the cloud, and putting past clouds behind it; only with a history",
    "voxelise": "points to voxels and features",
    "network": "voxels to logits",
    "to_points": "voxel logits to a label and confidence for every point",
    "program": "in place of those three on a GPU: bytes of the cloud to labels, decoded there and here meanwhile",
    "encode": "labels to PointCloud2",
    "publish": "handing the message to the middleware, serialisation included",
    "total": "start of work to published (in a bag: to encoded)",
    "stamp_to_publish": "header stamp to published, by the node's clock",
}
"""{stage: what is measured}, in the order of the tables. All in milliseconds."""


class LatencyWindow:
    """The last `size` measurements of each stage. One thread may write while another one reads."""

    def __init__(self, size: int = 500) -> None:
        self._size = size
        self._values: dict[str, deque[float]] = {}
        self._lock = Lock()

    def record(self, timings_ms: Mapping[str, float]) -> None:
        """Adds the measurements of one cloud, {stage: milliseconds}."""
        with self._lock:
            for stage, milliseconds in timings_ms.items():
                self._values.setdefault(stage, deque(maxlen=self._size)).append(milliseconds)

    def percentiles(self) -> dict[str, dict[str, float]]:
        """{stage: {"p50": ms, "p90": ms, "p99": ms}}: the stages of STAGES in their order, then others by name."""
        with self._lock:
            values = {stage: np.array(numbers) for stage, numbers in self._values.items()}
        known = [stage for stage in STAGES if stage in values]
        return {stage: percentiles_of(values[stage]) for stage in known + sorted(values.keys() - STAGES.keys())}


def percentiles_of(values_ms: Sequence[float] | np.ndarray) -> dict[str, float]:
    """{"p50": ms, "p90": ms, "p99": ms} of some measurements, at least one."""
    return {f"p{p}": float(np.percentile(values_ms, p)) for p in PERCENTILES}


def latency_table(percentiles: Mapping[str, Mapping[str, float]]) -> str:
    """What LatencyWindow.percentiles returns as aligned text, one row for each stage."""
    if not percentiles:
        return "no latency measured: no cloud was labelled"
    header = f"{'stage (ms)':<18}" + "".join(f"{f'p{p}':>10}" for p in PERCENTILES)
    rows = [
        f"{stage:<18}" + "".join(f"{row[f'p{p}']:>10.2f}" for p in PERCENTILES) for stage, row in percentiles.items()
    ]
    return "\n".join([header, *rows])
