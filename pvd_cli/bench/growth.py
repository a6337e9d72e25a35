"""Time and memory as clouds grow and as batches grow. N points."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from pvd_cli.bench.measurement import warm_up
from pvd_cli.bench.plan import Job, Plan, Progress, Row
from pvd_cli.bench.scan_input import ScanInput
from pvd_cli.bench.spans import SpanClock
from pvd_cli.bench.turns import Outcome, measure
from pvd_core.runtime.memory import peak_mb
from pvd_core.segmenter import Segmenter
from pvd_core.voxels import VoxelBatch

DEFAULT_SIZES = (10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000, 2_000_000)

# Copies turned by multiples of the golden angle are spread evenly: no two lie close to each other.
_GOLDEN_ANGLE = np.pi * (3 - np.sqrt(5))
_JITTER_M = 0.05


def growth_rows(plan: Plan, sizes: Sequence[int] = DEFAULT_SIZES, progress: Progress | None = None) -> dict[str, Any]:
    """{"rows", ...}: for each combination and each number of points a dictionary with `points`, `voxels`,
    `median_ms`, `p90_ms`, `us_a_point`, `peak_mb`. The clouds are the plan's scans, thinned or multiplied."""
    tasks = [
        ({"scan": scan, "batch": 1}, [cloud_of_size(points, size)])
        for scan, points in plan.scans.items()
        for size in sizes
    ]
    measured = measure("batch", plan, tasks, progress, in_turns=False)
    return measured.table([_row(outcome) for outcome in measured.outcomes])


def batch_rows(plan: Plan, batch_sizes: Sequence[int], progress: Progress | None = None) -> dict[str, Any]:
    """As `growth_rows`, for batches of `batch_sizes` copies of the plan's scans, each turned by another angle."""
    tasks = [
        ({"scan": scan, "batch": size}, [turned(points, number) for number in range(size)])
        for scan, points in plan.scans.items()
        for size in batch_sizes
    ]
    measured = measure("batch", plan, tasks, progress, in_turns=False)
    return measured.table([_row(outcome) for outcome in measured.outcomes])


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
    generator = np.random.default_rng(number)
    angle = number * _GOLDEN_ANGLE
    copy = points.copy()
    copy[:, 0] = points[:, 0] * np.cos(angle) - points[:, 1] * np.sin(angle)
    copy[:, 1] = points[:, 0] * np.sin(angle) + points[:, 1] * np.cos(angle)
    # Points without a return are all zeros, and stay so.
    is_measured_N = (points[:, :3] != 0).any(axis=1)
    jitter = generator.normal(0, _JITTER_M, (len(points), 3)).astype(np.float32)
    copy[:, :3] += jitter * is_measured_N[:, None]
    return copy


class BatchTimes:
    """Measures clouds as one batch, from points on the device to class scores."""

    def __init__(self, segmenter: Segmenter, clouds: Sequence[np.ndarray], _job: Job | None) -> None:
        self._segmenter, self._clock = segmenter, SpanClock(segmenter.device)
        self._scans = [ScanInput(segmenter, points).scan for points in clouds]
        warm_up(self.repeat)
        self.facts: dict[str, Any] = {
            "points": sum(len(points) for points in clouds),
            "voxels": self._batch().num_voxels,
            "peak_mb": peak_mb(segmenter.device),
        }

    @torch.inference_mode()
    def repeat(self, _number: int) -> dict[str, float]:
        self._clock.start("total")
        batch = self._batch()
        if batch.num_voxels:
            self._segmenter.run_network(batch)
        self._clock.stop()
        return self._clock.own_times_ms()

    def _batch(self) -> VoxelBatch:
        return self._segmenter.model.grid.voxelise(self._scans)


def _row(outcome: Outcome) -> Row:
    times_ms, points = outcome.values("total"), outcome.facts["points"]
    median_ms = float(np.median(times_ms))
    return {
        **outcome.job.names,
        **outcome.facts,
        "samples": len(times_ms),
        "median_ms": median_ms,
        "p90_ms": outcome.percentile("total", 90),
        "us_a_point": median_ms * 1e3 / points if points else None,
    }
