"""The parts of a cloud's time: network, maps and floor. V rows, E channels."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import torch

from pvd_cli.bench.floor import BareProducts
from pvd_cli.bench.scan_input import ScanInput
from pvd_cli.bench.spans import MAPS, SpanClock, timed_maps
from pvd_core.models import Network
from pvd_core.programs.buckets import BucketChooser
from pvd_core.programs.cells import PaddedGrid
from pvd_core.programs.fixed_sites import FixedSites
from pvd_core.programs.fixed_voxels import FixedBatch
from pvd_core.programs.frozen import frozen
from pvd_core.programs.static_function import StaticFunction
from pvd_core.runtime.precision import PRECISIONS, computing_in
from pvd_core.segmenter import Segmenter

Parts = Callable[[], dict[str, float]]  # runs them once: {part: milliseconds}


def stepwise_parts(segmenter: Segmenter, scan: ScanInput, clock: SpanClock) -> Parts:
    """Maps and floor where clouds are labelled step by step; the network is timed within the total."""
    floor = BareProducts(scan.sparse_costs, segmenter.precision, segmenter.device)

    def times_ms() -> dict[str, float]:
        with timed_maps(clock):
            segmenter.run_network(scan.batch)
        maps_ms = clock.own_times_ms()[MAPS]
        return {"maps": maps_ms, **clock.times_ms({"floor": floor.run})}

    return times_ms


def program_parts(segmenter: Segmenter, scan: ScanInput, clock: SpanClock) -> Parts:
    """Network, maps and floor where clouds are labelled by programs, inside which nothing can be timed. The time for
    maps is the time of the network that builds them less that of the network on maps that exist already."""
    network = FixedNetwork(segmenter, scan)
    floor = BareProducts(scan.sparse_costs, segmenter.precision, segmenter.device)

    def times_ms() -> dict[str, float]:
        times = clock.times_ms({"network": network.run, "maps": network.run_on_kept_maps, "floor": floor.run})
        return {**times, "maps": max(times["network"] - times["maps"], 0.0)}

    return times_ms


class FixedNetwork:
    """The voxels' part of a network as a Segmenter's programs run it, on one scan: in fixed shapes, on a GPU as a CUDA
    graph. `run()` builds the kernel maps anew, `run_on_kept_maps()` does not. Both return voxel logits (V, number of
    classes), whose first rows are those of the scan's voxels."""

    def __init__(self, segmenter: Segmenter, scan: ScanInput) -> None:
        self._precision, self._device = segmenter.precision, segmenter.device
        self._model, self._batch = frozen(segmenter.model, PRECISIONS[segmenter.precision]), scan.batch
        columns = scan.batch.coords_V4[:, 1:].unbind(dim=1)
        is_real_V = torch.ones_like(columns[0], dtype=torch.bool)
        self._keys_V = PaddedGrid(self._model.grid.fixed_shape).keys(columns, is_real_V)
        num_rows, kept_sites = self._room_for(scan)
        _keep_what_comes_first(self._model, lambda: self._logits(kept_sites))
        self.run = self._static(lambda: self._logits(self._new_sites(num_rows)))
        self.run_on_kept_maps = self._static(lambda: self._logits(kept_sites))

    def _room_for(self, scan: ScanInput) -> tuple[Sequence[int], FixedSites]:
        """(rows of each level, sites whose maps are built) of the bucket that a DeviceRunner ends up with."""
        chooser = BucketChooser(self._model.grid, self._model.strides)
        while (bucket := chooser.choose(scan.num_points)) is not None:
            if bucket.num_rows[0] > scan.num_voxels:
                sites = self._new_sites(bucket.num_rows)
                self._logits(sites)
                wanted = torch.stack(sites.num_sites_a_level()).tolist()
                if all(count < rows for count, rows in zip(wanted, bucket.num_rows, strict=True)):
                    return bucket.num_rows, sites
            chooser.overflowed(scan.num_points, bucket)
        raise ValueError(f"no bucket has room for {scan.num_voxels} voxels")

    def _new_sites(self, num_rows: Sequence[int]) -> FixedSites:
        return FixedSites(self._keys_V, self._model.grid.fixed_shape, num_rows, self._model.backend)

    @torch.inference_mode()
    def _logits(self, sites: FixedSites) -> torch.Tensor:
        batch = FixedBatch(self._batch.point_features_PF, self._batch.point_to_voxel_P, sites.num_sites)
        with computing_in(self._precision, self._device.type, keeps_casts=False):
            return self._model(batch, with_points=False, sites=sites).voxel_logits_VC

    def _static(self, function: Callable[[], torch.Tensor]) -> StaticFunction[torch.Tensor]:
        # The function has no input: all that it reads is on the device already.
        return StaticFunction(lambda _input_B: function(), 1, self._device, self._device.type == "cuda")


def _keep_what_comes_first(model: Network, run: Callable[[], object]) -> None:
    """From now on the stages of `model` that come before its voxel stages give what they give in `run()`."""
    of_voxels = {module for name in model.voxel_stages for module in model.get_submodule(name).modules()}
    for module in itertools.takewhile(lambda module: module not in of_voxels, model.stages.values()):
        module.forward = _kept(module.forward)
    run()


def _kept(function: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """Gives what `function` gave at its first call."""
    outputs: list[torch.Tensor] = []

    def give(*arguments: Any) -> torch.Tensor:
        if not outputs:
            outputs.append(function(*arguments))
        return outputs[0]

    return give
