"""Where the time of a cloud goes: by stage, from points to labels, and by layer, against the layer's floor."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
from torch import nn

from pvd_cli.bench.floor import BareProducts
from pvd_cli.bench.measurement import warm_up
from pvd_cli.bench.plan import Job, Plan, Progress, Row
from pvd_cli.bench.scan_input import ScanInput
from pvd_cli.bench.spans import MAPS, SpanClock, timed_maps, timed_modules
from pvd_cli.bench.turns import Outcome, by_scan, measure
from pvd_core.segmenter import Segmenter

_REST = "rest of the network"
_FLOOR = "floor of "


def stage_rows(plan: Plan, progress: Progress | None = None) -> dict[str, Any]:
    """{"rows", ...}: for each stage of each combination, in order of execution, a dictionary with `stage`, its median
    `ms` and its `share` of the total."""
    measured = measure("stages", plan, by_scan(plan), progress)
    return measured.table([row for outcome in measured.outcomes for row in _stage_rows(outcome)])


def layer_rows(plan: Plan, progress: Progress | None = None) -> dict[str, Any]:
    """{"rows", ...}: for each layer of each combination a dictionary with `layer`, `kernel`, `channels`, `pairs`,
    `macs`, `ms`, `gflops` (a second), `floor_ms` and `ratio_to_floor`; times are medians. Layers that run fused share a
    row. The last row of each combination has the time for kernel maps."""
    measured = measure("layers", plan, by_scan(plan), progress)
    return measured.table([row for outcome in measured.outcomes for row in _layer_rows(outcome)])


class StageTimes:
    """Measures Segmenter.segment with a span around each part of the network and around the kernel maps."""

    def __init__(self, segmenter: Segmenter, clouds: Sequence[np.ndarray], _job: Job | None) -> None:
        self._segmenter, self._points = segmenter, clouds[0]
        self._clock = SpanClock(segmenter.device)
        self._stages = segmenter.model.stages
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


def _stage_rows(outcome: Outcome) -> list[Row]:
    names = {**outcome.job.names, "threads": outcome.facts["threads"]}
    total_ms = outcome.median("total")
    return [
        {**names, "stage": stage, "ms": outcome.median(stage), "share": outcome.median(stage) / total_ms}
        for stage in outcome.samples[0]
    ]


class LayerTimes:
    """Measures each layer of the network on one cloud, and the bare products of each layer."""

    def __init__(self, segmenter: Segmenter, clouds: Sequence[np.ndarray], _job: Job | None) -> None:
        self._segmenter = segmenter
        self._scan = ScanInput(segmenter, clouds[0])
        self._clock = SpanClock(segmenter.device)
        self._floors = BareProducts(self._scan.costs, segmenter.precision, segmenter.device)
        self._owner_of = _owners([cost.name for cost in self._scan.costs], self._modules_called())
        modules = dict(segmenter.model.named_modules())
        self._timed = {owner: modules[owner] for owner in self._owner_of.values()}
        warm_up(self.repeat)
        self.facts: dict[str, Any] = {"layers": self._layer_facts(modules)}

    def repeat(self, _number: int) -> dict[str, float]:
        if self._scan.is_empty:
            return {MAPS: 0.0}
        with timed_modules(self._clock, self._timed), timed_maps(self._clock):
            self._segmenter.run_network(self._scan.batch)
        sample = self._clock.own_times_ms()
        for cost in self._scan.costs:
            self._clock.start(_FLOOR + self._owner_of[cost.name])
            self._floors.run_layer(cost.name)
            self._clock.stop()
        return {**sample, **self._clock.own_times_ms()}

    def _modules_called(self) -> set[str]:
        called: set[str] = set()
        with ExitStack() as hooks:
            for name, module in self._segmenter.model.named_modules():
                handle = module.register_forward_hook(lambda *_, name=name: called.add(name))
                hooks.callback(handle.remove)
            if not self._scan.is_empty:
                self._segmenter.run_network(self._scan.batch)
        return called

    def _layer_facts(self, modules: Mapping[str, nn.Module]) -> list[dict[str, Any]]:
        facts: dict[str, dict[str, Any]] = {}
        for cost in self._scan.costs:
            owner = self._owner_of[cost.name]
            layer = facts.setdefault(owner, {"layer": owner, "kernel": "linear", "channels": "", "pairs": 0, "macs": 0})
            if kernel := getattr(modules[cost.name], "kernel", None):
                layer["kernel"] = "x".join(map(str, kernel))
            layer["channels"] = _chained(layer["channels"], cost.in_channels, cost.out_channels)
            layer["pairs"] += sum(cost.rows)
            layer["macs"] += cost.macs
        return list(facts.values())


def _owners(names: Iterable[str], called: Collection[str]) -> dict[str, str]:
    """{layer: itself if it is called as a module, else the smallest module around it that is}."""
    owners = {}
    for name in names:
        path = name.split(".")
        candidates = [".".join(path[:length]) for length in range(len(path), -1, -1)]
        owners[name] = next(candidate for candidate in candidates if candidate in called)
    return owners


def _chained(channels: str, in_channels: int, out_channels: int) -> str:
    """`channels` and one more layer: 9-64 and 64-128 make 9-64-128."""
    if not channels:
        return f"{in_channels}-{out_channels}"
    follows = channels.endswith(f"-{in_channels}")
    return f"{channels}-{out_channels}" if follows else f"{channels}, {in_channels}-{out_channels}"


def _layer_rows(outcome: Outcome) -> list[Row]:
    names = {**outcome.job.names, "threads": outcome.facts["threads"]}
    rows = []
    for layer in outcome.facts["layers"]:
        time_ms, floor_ms = outcome.median(layer["layer"]), outcome.median(_FLOOR + layer["layer"])
        rows.append(
            {
                **names,
                **layer,
                "layer": layer["layer"].removeprefix("backbone."),
                "ms": time_ms,
                "gflops": 2 * layer["macs"] / time_ms / 1e6,
                "floor_ms": floor_ms,
                "ratio_to_floor": time_ms / floor_ms if floor_ms else None,
            }
        )
    return [*rows, {**names, "layer": MAPS, "ms": outcome.median(MAPS)}]
