"""What the benchmark takes apart: maps, spans, layers, stages, growth and training steps, on a tiny network."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from bench_plans import CPU, plan_of, scan_of, tiny_network
from program_networks import program_network
from torch.utils._python_dispatch import TorchDispatchMode

from pvd_cli.bench import growth_rows, layer_rows, training_rows
from pvd_cli.bench.breakdown import stage_times
from pvd_cli.bench.floor import BareProducts
from pvd_cli.bench.growth import batch_times, cloud_of_size, turned
from pvd_cli.bench.parts import FixedNetwork, program_parts
from pvd_cli.bench.scan_input import ScanInput, timed_network
from pvd_cli.bench.spans import MAPS, SpanClock, timed_maps, timed_modules
from pvd_cli.bench.training_step import training_times
from pvd_core.models.macs import LayerCost
from pvd_core.segmenter import Segmenter
from pvd_core.sparse import Sites

pytestmark = pytest.mark.usefixtures("short_warm_up")


@pytest.mark.parametrize("kernels", ["as_written", "as_trained"])
def test_maps_are_those_that_the_network_builds(kernels):
    segmenter = Segmenter(tiny_network(kernels=kernels))
    batch = segmenter.model.grid.voxelise([torch.from_numpy(scan_of(300))])
    clock = SpanClock(CPU)
    with timed_modules(clock, timed_network(segmenter.model)), timed_maps(clock):
        segmenter.run_network(batch)
    assert set(clock.own_times_ms()) == {*segmenter.model.voxel_stages, MAPS}


@pytest.mark.parametrize("family", ["cylinder3d", "minkunet", "spvcnn"])
def test_the_network_in_fixed_shapes_gives_the_logits_of_the_scan(family):
    segmenter = Segmenter(program_network(family))
    scan = ScanInput(segmenter, scan_of(300))
    expected = segmenter.run_network(scan.batch).voxel_logits_VC
    network = FixedNetwork(segmenter, scan)
    for run in (network.run, network.run_on_kept_maps):
        torch.testing.assert_close(run()[: scan.num_voxels], expected, atol=1e-4, rtol=1e-4)


def test_programs_do_not_time_what_comes_before_the_voxels():
    segmenter = Segmenter(tiny_network())
    network = FixedNetwork(segmenter, ScanInput(segmenter, scan_of(300)))
    calls = []
    network._model.point_mlp.in_norm.forward = calls.append
    network._model.point_mlp.register_forward_hook(lambda *_: calls.append("asked"))
    network.run()
    assert calls == ["asked"]


@pytest.mark.parametrize("family", ["cylinder3d", "minkunet", "spvcnn"])
def test_rows_of_programs_have_all_parts(family):
    segmenter = Segmenter(program_network(family))
    times_ms = program_parts(segmenter, ScanInput(segmenter, scan_of(300)), SpanClock(CPU))()
    assert 0 <= times_ms["maps"] < times_ms["network"]
    assert times_ms["floor"] > 0


@pytest.mark.parametrize("family", ["cylinder3d", "minkunet", "spvcnn"])
def test_all_that_depends_on_coordinates_alone_counts_as_maps(family):
    segmenter = Segmenter(program_network(family))
    batch = segmenter.model.grid.voxelise([torch.from_numpy(scan_of(300))])
    segmenter.run_network(batch)  # computes what depends on weights alone
    sites = Sites(batch.coords_V4, batch.shape, 1)
    operations = []
    for _ in range(2):  # from fresh sites, then on those that have their maps
        counter = OperationsOutsideMaps(CPU)
        with counter, torch.inference_mode(), timed_maps(counter.clock):
            segmenter.model(batch, sites=sites)
        operations.append(counter.names)
    assert operations[0] == operations[1]


class OperationsOutsideMaps(TorchDispatchMode):
    """Names of torch's operations while `clock` has no open span."""

    def __init__(self, device):
        super().__init__()
        self.names, self.depth = [], 0
        self.clock = SpanClock(device)
        self.clock.start = lambda _name: self.count(1)
        self.clock.stop = lambda: self.count(-1)

    def count(self, step):
        self.depth += step

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if self.depth == 0:
            self.names.append(str(function))
        return function(*args, **(kwargs or {}))


def test_own_time_of_a_span_leaves_out_the_spans_inside(monkeypatch):
    seconds = iter((10, 11, 14, 15))
    monkeypatch.setattr("pvd_cli.bench.spans.time", SimpleNamespace(perf_counter=lambda: next(seconds)))
    clock = SpanClock(CPU)
    clock.start("outer")
    clock.start("inner")
    clock.stop()
    clock.stop()
    assert clock.own_times_ms() == {"outer": 2000, "inner": 3000}
    assert clock.own_times_ms() == {}


def test_the_floor_multiplies_every_pair_once(monkeypatch):
    rows = []
    monkeypatch.setattr("pvd_cli.bench.floor._best_time", lambda _function: 0)  # torch.mm, without trials
    floor = BareProducts([LayerCost("conv", (70_000, 0, 5), 32, 16)], "fp32", CPU)
    multiply = torch.mm
    monkeypatch.setattr(torch, "mm", lambda a, b, out: rows.append(len(a)) or multiply(a, b, out=out))
    floor.run()
    assert sum(rows) == 70_005


def test_layers_add_up_to_the_network(no_processes):
    *layers, maps = layer_rows(plan_of(runs=3))["rows"]
    assert maps["layer"] == MAPS
    assert sum(row["macs"] for row in layers) == ScanInput(Segmenter(tiny_network()), scan_of(300)).macs
    linear = {row["layer"].split(".")[0] for row in layers if row["kernel"] == "linear"}
    assert linear == {"point_mlp", "voxel_compress", "refinement"}
    for row in layers:
        assert row["ratio_to_floor"] == pytest.approx(row["ms"] / row["floor_ms"])
        assert row["gflops"] == pytest.approx(2 * row["macs"] / row["ms"] / 1e6)


def test_stages_add_up_to_the_total():
    sample = stage_times(Segmenter(tiny_network()), [scan_of(300)], 1).repeat(0)
    assert list(sample)[:3] == ["voxelise", "point MLP", "scatter-max"]
    assert {"encoder 1", "encoder 4", "decoder 4", "decoder 1", "refinement", MAPS, "back to points"} <= set(sample)
    assert all(time_ms > 0 for time_ms in sample.values())
    assert sum(sample.values()) == pytest.approx(2 * sample["total"])


def test_larger_clouds_have_more_voxels(no_processes):
    small, large = growth_rows(plan_of(runs=3), sizes=(500, 5000))["rows"]
    assert [small["points"], large["points"]] == [500, 5000]
    assert small["voxels"] < large["voxels"]
    assert large["us_a_point"] == pytest.approx(large["median_ms"] * 1e3 / 5000)


def test_grown_clouds_are_the_same_every_time_and_spread_out():
    scan = scan_of(1000)
    scan[:10] = 0
    small, large = cloud_of_size(scan, 100), cloud_of_size(scan, 3500)
    assert (len(small), len(large)) == (100, 3500)
    assert np.isin(small, scan).all()
    np.testing.assert_array_equal(large, cloud_of_size(scan, 3500))
    assert len(np.unique(large[:, :3].round(1), axis=0)) > 3 * 900
    assert (large[:, :3] == 0).all(axis=1).sum() >= 30
    radius = np.hypot(scan[:, 0], scan[:, 1]).max()
    assert np.hypot(large[:, 0], large[:, 1]).max() < radius + 0.5


def test_batches_hold_several_clouds_with_voxels_of_their_own():
    copies = [turned(scan_of(300), number) for number in range(2)]
    one, two = (batch_times(Segmenter(tiny_network()), copies[:size], 1).facts for size in (1, 2))
    assert (one["points"], two["points"]) == (300, 600)
    assert 1.8 * one["voxels"] < two["voxels"] < 2.2 * one["voxels"]


def test_training_steps_are_compared_with_inference(no_processes):
    (row,) = training_rows(plan_of(runs=3))["rows"]
    assert row["ratio"] == pytest.approx(row["step_ms"] / row["inference_ms"])


def test_a_training_step_goes_forward_and_backward_as_training_does(monkeypatch):
    network = tiny_network().requires_grad_()
    times = training_times(Segmenter(network), [scan_of(300)], 1)
    started, start = {}, SpanClock.start

    def recorded(clock, name):
        started[name] = network.training
        start(clock, name)

    monkeypatch.setattr(SpanClock, "start", recorded)
    network.zero_grad()
    assert set(times.repeat(0)) == {"inference", "step"}
    assert started == {"inference": False, "step": True}
    assert all(parameter.grad is not None for parameter in network.parameters())
