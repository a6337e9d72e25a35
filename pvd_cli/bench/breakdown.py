"""Where the time of a cloud goes: by stage, from points to labels, and by layer, against the layer's floor."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
from torch import nn

from pvd_cli.bench.floor import BareProducts
from pvd_cli.bench.measurement import Measurement, warm_up
from pvd_cli.bench.plan import Plan, Progress, Row
from pvd_cli.bench.scan_input import ScanInput
from pvd_cli.bench.spans import MAPS, SpanClock, timed_maps, timed_modules
from pvd_cli.bench.turns import Outcome, by_scan, measure
from pvd_core.models.macs import LayerCost
from pvd_core.segmenter import Segmenter

_REST = "rest of the network"
_FLOOR = "floor of "


def stage_rows(plan: Plan, progress: Progress | None = None) -> dict[str, Any]:
    """As `measure`: for each stage of each combination, in order of execution, `stage`, its median `ms` and its `share`
    of the total."""
    return measure("stages", plan, by_scan(plan), _stage_rows, progress)


def layer_rows(plan: Plan, progress: Progress | None = None) -> dict[str, Any]:
    """As `measure`: for each layer of each combination `layer`, `kernel`, `channels`, `pairs`, `macs`, `ms`, `gflops`
    (a second), `floor_ms` and `ratio_to_floor`; times are medians. Layers that run fused share a row. The last row of
    each combination has the time for kernel maps."""
    return measure("layers", plan, by_scan(plan), _layer_rows, progress)


def stage_times(segmenter: Segmenter, clouds: Sequence[np.ndarray], _runs: int) -> Measurement:
    """Segmenter.segment with a span around each part of the network and around the kernel maps."""
    clock, stages = SpanClock(segmenter.device), segmenter.model.stages

    def repeat(_number: int) -> dict[str, float]:
        with timed_modules(clock, stages), timed_maps(clock):
            timings_ms = segmenter.segment(clouds[0]).timings_ms
        inside_ms = clock.own_times_ms()
        return {
            "voxelise": timings_ms["voxelise"],
            **{stage: inside_ms.get(stage, 0.0) for stage in (*stages, MAPS)},
            _REST: timings_ms["network"] - sum(inside_ms.values()),
            "back to points": timings_ms["to_points"],
            "total": timings_ms["total"],
        }

    warm_up(repeat)
    return Measurement(repeat)


def _stage_rows(outcomes: Sequence[Outcome]) -> list[Row]:
    rows = []
    for outcome in outcomes:
        for stage in outcome.samples[0]:
            time_ms = outcome.median(stage)
            rows.append({**outcome.names, "stage": stage, "ms": time_ms, "share": time_ms / outcome.median("total")})
    return rows


def layer_times(segmenter: Segmenter, clouds: Sequence[np.ndarray], _runs: int) -> Measurement:
    """Each layer of the network on one cloud, and the bare products of each layer."""
    scan, clock = ScanInput(segmenter, clouds[0]), SpanClock(segmenter.device)
    floors = BareProducts(scan.costs, segmenter.precision, segmenter.device)
    modules = dict(segmenter.model.named_modules())
    called = _modules_called(segmenter, scan, modules)
    owner_of = {cost.name: _owner(cost.name, called) for cost in scan.costs}
    timed = {owner: modules[owner] for owner in owner_of.values()}

    def repeat(_number: int) -> dict[str, float]:
        if scan.is_empty:
            return {MAPS: 0.0}
        with timed_modules(clock, timed), timed_maps(clock):
            segmenter.run_network(scan.batch)
        sample = clock.own_times_ms()
        for cost in scan.costs:
            with clock.span(_FLOOR + owner_of[cost.name]):
                floors.run_layer(cost.name)
        return {**sample, **clock.own_times_ms()}

    warm_up(repeat)
    return Measurement(repeat, {"layers": _layer_facts(scan.costs, owner_of, modules)})


def _modules_called(segmenter: Segmenter, scan: ScanInput, modules: Mapping[str, nn.Module]) -> set[str]:
    called: set[str] = set()
    with ExitStack() as hooks:
        for name, module in modules.items():
            hooks.callback(module.register_forward_hook(lambda *_, name=name: called.add(name)).remove)
        if not scan.is_empty:
            segmenter.run_network(scan.batch)
    return called


def _owner(layer: str, called: Collection[str]) -> str:
    """The layer itself if it is called as a module, else the smallest module around it that is."""
    path = layer.split(".")
    candidates = (".".join(path[:length]) for length in range(len(path), -1, -1))
    return next(candidate for candidate in candidates if candidate in called)


def _layer_facts(
    costs: Sequence[LayerCost], owner_of: Mapping[str, str], modules: Mapping[str, nn.Module]
) -> list[dict[str, Any]]:
    facts: dict[str, dict[str, Any]] = {}
    for cost in costs:
        owner = owner_of[cost.name]
        layer = facts.setdefault(owner, {"layer": owner, "kernel": "linear", "channels": "", "pairs": 0, "macs": 0})
        if kernel := getattr(modules[cost.name], "kernel", None):
            layer["kernel"] = "x".join(map(str, kernel))
        layer["channels"] = _chained(layer["channels"], cost.in_channels, cost.out_channels)
        layer["pairs"] += sum(cost.rows)
        layer["macs"] += cost.macs
    return list(facts.values())


def _chained(channels: str, in_channels: int, out_channels: int) -> str:
    """`channels` and one more layer: 9-64 and 64-128 make 9-64-128."""
    if channels.endswith(f"-{in_channels}"):
        return f"{channels}-{out_channels}"
    return f"{channels}, {in_channels}-{out_channels}".removeprefix(", ")


def _layer_rows(outcomes: Sequence[Outcome]) -> list[Row]:
    rows = []
    for outcome in outcomes:
        for layer in outcome.facts["layers"]:
            time_ms, floor_ms = outcome.median(layer["layer"]), outcome.median(_FLOOR + layer["layer"])
            times = {"ms": time_ms, "gflops": 2 * layer["macs"] / time_ms / 1e6, "floor_ms": floor_ms}
            ratio = time_ms / floor_ms if floor_ms else None
            name = layer["layer"].removeprefix("backbone.")
            rows.append({**outcome.names, **layer, "layer": name, **times, "ratio_to_floor": ratio})
        rows.append({**outcome.names, "layer": MAPS, "ms": outcome.median(MAPS)})
    return rows
