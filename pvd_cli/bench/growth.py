"""Time and memory as clouds grow and as batches grow. N points."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from pvd_cli.bench.measurement import Measurement, warm_up
from pvd_cli.bench.plan import Plan, Progress, Row
from pvd_cli.bench.scan_input import ScanInput
from pvd_cli.bench.spans import SpanClock
from pvd_cli.bench.turns import Outcome, measure
from pvd_core.runtime.memory import peak_mb
from pvd_core.segmenter import Segmenter

# Copies turned by multiples of the golden angle are spread evenly: no two lie close to each other.
_GOLDEN_ANGLE = np.pi * (3 - np.sqrt(5))
_JITTER_M = 0.05


def growth_rows(plan: Plan, sizes: Sequence[int], progress: Progress | None = None) -> dict[str, Any]:
    """As `measure`: for each combination and each number of points `points`, `voxels`, `median_ms`, `p90_ms`,
    `us_a_point`, `peak_mb`. The clouds are the plan's scans, thinned or multiplied."""
    tasks = [
        ({"scan": scan, "batch": 1}, [cloud_of_size(points, size)])
        for scan, points in plan.scans.items()
        for size in sizes
    ]
    return measure("batch", plan, tasks, _rows, progress, in_turns=False)


def batch_rows(plan: Plan, batch_sizes: Sequence[int], progress: Progress | None = None) -> dict[str, Any]:
    """As `growth_rows`, for batches of `batch_sizes` copies of the plan's scans, each turned by another angle."""
    tasks = [
        ({"scan": scan, "batch": size}, [turned(points, number) for number in range(size)])
        for scan, points in plan.scans.items()
        for size in batch_sizes
    ]
    return measure("batch", plan, tasks, _rows, progress, in_turns=False)


def cloud_of_size(points: np.ndarray, num_points: int) -> np.ndarray:
    """float32 (num_points, 4) from `points` (N, 4), the same every time: an even selection of them, or copies turned
    about the sensor's axis. Coordinates of copies are jittered, so that the number of voxels grows too."""
    if not len(points):
        return points
    num_copies = -(-num_points // len(points))
    copies = np.concatenate([turned(points, number) for number in range(num_copies)])
    return copies[np.linspace(0, len(copies) - 1, num_points).round().astype(np.int64)]


def turned(points: np.ndarray, number: int) -> np.ndarray:
    """The `number`-th copy of `points`; number 0 is `points` itself."""
    if number == 0:
        return points
    cosine, sine = np.cos(number * _GOLDEN_ANGLE), np.sin(number * _GOLDEN_ANGLE)
    copy = points.copy()
    copy[:, 0] = points[:, 0] * cosine - points[:, 1] * sine
    copy[:, 1] = points[:, 0] * sine + points[:, 1] * cosine
    # Points without a return are all zeros, and stay so.
    is_measured_N = (points[:, :3] != 0).any(axis=1)
    jitter = np.random.default_rng(number).normal(0, _JITTER_M, (len(points), 3)).astype(np.float32)
    copy[:, :3] += jitter * is_measured_N[:, None]
    return copy


def batch_times(segmenter: Segmenter, clouds: Sequence[np.ndarray], _runs: int) -> Measurement:
    """Clouds as one batch, from points on the device to class scores."""
    clock, grid = SpanClock(segmenter.device), segmenter.model.grid
    scans = [ScanInput(segmenter, points).scan for points in clouds]

    @torch.inference_mode()
    def label_all() -> None:
        batch = grid.voxelise(scans)
        if batch.num_voxels:
            segmenter.run_network(batch)

    def repeat(_number: int) -> dict[str, float]:
        return clock.times_ms({"total": label_all})

    warm_up(repeat)
    sizes = {"points": sum(map(len, clouds)), "voxels": grid.voxelise(scans).num_voxels}
    return Measurement(repeat, {**sizes, "peak_mb": peak_mb(segmenter.device)})


def _rows(outcomes: Sequence[Outcome]) -> list[Row]:
    rows = []
    for outcome in outcomes:
        median_ms, points = outcome.median("total"), outcome.facts["points"]
        times = {"median_ms": median_ms, "p90_ms": outcome.percentile("total", 90)}
        rows.append({**outcome.circumstances, **times, "us_a_point": median_ms * 1e3 / points if points else None})
    return rows
