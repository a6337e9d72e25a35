"""A cloud from points to labels by stage."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import nn

from pvd_cli.bench.measurement import warm_up
from pvd_cli.bench.plan import Job, Plan, Progress, Row
from pvd_cli.bench.spans import MAPS, SpanClock, timed_maps, timed_modules
from pvd_cli.bench.turns import Outcome, by_scan, measure
from pvd_core.models import Cylinder3D
from pvd_core.segmenter import Segmenter

_REST = "rest of the network"


def stage_rows(plan: Plan, progress: Progress | None = None) -> dict[str, Any]:
    """{"rows", ...}: for each stage of each combination, in order of execution, a dictionary with `stage`, its median
    `ms` and its `share` of the total."""
    measured = measure("stages", plan, by_scan(plan), progress)
    return measured.table([row for outcome in measured.outcomes for row in _rows(outcome)])


class StageTimes:
    """Measures Segmenter.segment with a span around each part of the network and around the kernel maps."""

    def __init__(self, segmenter: Segmenter, clouds: Sequence[np.ndarray], _job: Job | None) -> None:
        self._segmenter, self._points = segmenter, clouds[0]
        self._clock = SpanClock(segmenter.device)
        self._stages = _stages(segmenter.model)
        warm_up(self.repeat)
        self.facts: dict[str, Any] = {}

    def repeat(self, _number: int) -> dict[str, float]:
        with timed_modules(self._clock, self._stages), timed_maps(self._clock):
            timings_ms = self._segmenter.segment(self._points).timings_ms
        inside_ms = self._clock.own_times_ms()
        return {
            "voxelise": timings_ms["voxelise"],
            **{stage: inside_ms.get(stage, 0.0) for stage in (*self._stages, MAPS)},
            _REST: timings_ms["network"] - sum(inside_ms.values()),
            "back to points": timings_ms["to_points"],
            "total": timings_ms["total"],
        }


def _stages(model: Cylinder3D) -> dict[str, nn.Module]:
    """{stage: module} of the network's parts, in order of execution."""
    stages: dict[str, nn.Module] = {
        "point MLP": model.point_mlp,
        "scatter-max": model.voxel_compress,
        "stem": model.backbone.stem,
    }
    for level, block in enumerate(model.backbone.encoder, start=1):
        stages[f"encoder {level}"] = block
    for level, block in zip(range(len(model.backbone.decoder), 0, -1), model.backbone.decoder, strict=True):
        stages[f"decoder {level}"] = block
    stages |= {"context": model.backbone.context, "logits": model.head["conv"]}
    return stages if model.refinement is None else {**stages, "refinement": model.refinement}


def _rows(outcome: Outcome) -> list[Row]:
    names = {**outcome.job.names, "threads": outcome.facts["threads"]}
    total_ms = outcome.median("total")
    return [
        {**names, "stage": stage, "ms": outcome.median(stage), "share": outcome.median(stage) / total_ms}
        for stage in outcome.samples[0]
    ]
