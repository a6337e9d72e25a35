"""Time and memory as clouds grow and as batches grow."""

import numpy as np
import torch

from pvd_cli.bench.grown_clouds import cloud_of_size, turned
from pvd_cli.bench.job import workplace
from pvd_cli.bench.memory import peak_mb
from pvd_cli.bench.scan_input import ScanInput
from pvd_cli.bench.spans import SpanClock
from pvd_cli.bench.turns import measure
from pvd_cli.bench.warm_up import warm_up
from pvd_core.voxels import voxelise

DEFAULT_SIZES = (10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000, 2_000_000)


def growth_rows(plan, sizes=DEFAULT_SIZES, progress=None):
    """{"rows", ...}: for each combination and each number of points a dictionary with `points`, `voxels`,
    `median_ms`, `p90_ms`, `us_a_point`, `peak_mb`. The clouds come from the plan's scans, thinned or multiplied."""
    with workplace(plan) as files:
        clouds = {
            (scan, size): files.keep_cloud(cloud_of_size(points, size))
            for scan, points in plan.scans.items()
            for size in sizes
        }
        jobs = [
            files.job("batch", network, *engine, [cloud], scan=scan, batch=1)
            for network in plan.networks
            for engine in plan.engines()
            for (scan, _size), cloud in clouds.items()
        ]
        measured = measure([[job] for job in jobs], progress)
    return measured.table([_row(outcome) for outcome in measured.outcomes])


def batch_rows(plan, batch_sizes, progress=None):
    """As `growth_rows`, for the plan's scans in batches of `batch_sizes` copies, each turned by another angle."""
    with workplace(plan) as files:
        jobs = []
        for scan, points in plan.scans.items():
            copies = [files.keep_cloud(turned(points, number)) for number in range(max(batch_sizes))]
            jobs += [
                files.job("batch", network, *engine, copies[:size], scan=scan, batch=size)
                for network in plan.networks
                for engine in plan.engines()
                for size in batch_sizes
            ]
        measured = measure([[job] for job in jobs], progress)
    return measured.table([_row(outcome) for outcome in measured.outcomes])


class BatchTimes:
    """Measures clouds as one batch, from points on the device to class scores."""

    def __init__(self, segmenter, clouds, _job):
        self._segmenter, self._clock = segmenter, SpanClock(segmenter.device)
        self._scans = [ScanInput(segmenter, points).scan for points in clouds]
        warm_up(self.repeat)
        self.facts = {
            "points": sum(len(points) for points in clouds),
            "voxels": self._batch().num_voxels,
            "peak_mb": peak_mb(segmenter.device),
        }

    @torch.inference_mode()
    def repeat(self, _number):
        self._clock.start("total")
        batch = self._batch()
        if batch.num_voxels:
            self._segmenter.run_network(batch)
        self._clock.stop()
        return self._clock.own_times_ms()

    def _batch(self):
        return voxelise(self._scans, self._segmenter.model.grid)


def _row(outcome):
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
