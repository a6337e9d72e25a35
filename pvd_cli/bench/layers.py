"""A forward pass by layer: time, multiply-accumulates a second, and how far each layer is from its bare products."""

from contextlib import ExitStack

from pvd_cli.bench.by_scan import measure_by_scan
from pvd_cli.bench.floor import BareProducts
from pvd_cli.bench.scan_input import ScanInput
from pvd_cli.bench.spans import MAPS, SpanClock, timed_maps, timed_modules
from pvd_cli.bench.warm_up import warm_up

_FLOOR = "floor of "


def layer_rows(plan, progress=None):
    """{"rows", ...}: dictionaries with `layer`, `kernel`, `channels`, `pairs`, `macs`, `ms`, `gflops` a second,
    `floor_ms` and `ratio_to_floor` for each layer of each combination, medians. Layers that run as one share a row; the
    last row of each combination has the time for kernel maps."""
    measured = measure_by_scan("layers", plan, progress)
    return measured.table([row for outcome in measured.outcomes for row in _rows(outcome)])


class LayerTimes:
    """Measures the network on a VoxelBatch, each layer a span, and the bare products of each layer."""

    def __init__(self, segmenter, clouds, _job):
        self._segmenter = segmenter
        self._scan = ScanInput(segmenter, clouds[0])
        self._clock = SpanClock(segmenter.device)
        self._floors = BareProducts(self._scan.costs, segmenter.precision, segmenter.device)
        self._owner_of = _owners([cost.name for cost in self._scan.costs], self._modules_called())
        modules = dict(segmenter.model.named_modules())
        self._timed = {owner: modules[owner] for owner in self._owner_of.values()}
        warm_up(self.repeat)
        self.facts = {"layers": self._layer_facts(modules)}

    def repeat(self, _number):
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

    def _modules_called(self):
        called = set()
        with ExitStack() as hooks:
            for name, module in self._segmenter.model.named_modules():
                handle = module.register_forward_hook(lambda *_, name=name: called.add(name))
                hooks.callback(handle.remove)
            if not self._scan.is_empty:
                self._segmenter.run_network(self._scan.batch)
        return called

    def _layer_facts(self, modules):
        facts = {}
        for cost in self._scan.costs:
            owner = self._owner_of[cost.name]
            layer = facts.setdefault(owner, {"layer": owner, "kernel": "linear", "channels": "", "pairs": 0, "macs": 0})
            if kernel := getattr(modules[cost.name], "kernel", None):
                layer["kernel"] = "x".join(map(str, kernel))
            layer["channels"] = _chained(layer["channels"], cost.in_channels, cost.out_channels)
            layer["pairs"] += sum(cost.rows)
            layer["macs"] += cost.macs
        return list(facts.values())


def _owners(names, called):
    """{layer: the smallest module around it, itself included, that is called by itself}."""
    owners = {}
    for name in names:
        path = name.split(".")
        candidates = [".".join(path[:length]) for length in range(len(path), -1, -1)]
        owners[name] = next(candidate for candidate in candidates if candidate in called)
    return owners


def _chained(channels, in_channels, out_channels):
    """`channels` and one more layer: 9-64 and 64-128 make 9-64-128."""
    if not channels:
        return f"{in_channels}-{out_channels}"
    follows = channels.endswith(f"-{in_channels}")
    return f"{channels}-{out_channels}" if follows else f"{channels}, {in_channels}-{out_channels}"


def _rows(outcome):
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
