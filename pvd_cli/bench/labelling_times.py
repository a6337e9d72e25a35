"""What the measuring process of a row of the main table does."""

import statistics
import time

import numpy as np

from pvd_cli.bench.fixed_network import FixedNetwork
from pvd_cli.bench.floor import BareProducts
from pvd_cli.bench.memory import peak_mb
from pvd_cli.bench.scan_input import ScanInput, timed_network
from pvd_cli.bench.spans import MAPS, SpanClock, timed_maps, timed_modules
from pvd_cli.bench.warm_up import warm_up

# Medians of maps and floor need fewer samples than percentiles of the total.
_LEAST_PART_SAMPLES = 20


class LabellingTimes:
    """Measures Segmenter.segment in the measuring process, and in turns with it the parts of a row."""

    def __init__(self, segmenter, clouds, job):
        self._segmenter, self._clouds = segmenter, clouds
        self._clock = SpanClock(segmenter.device)
        labels = {}
        warm_up(lambda number: labels.update({number % len(clouds): self._segment(number).labels}), len(clouds))
        np.save(job.labels_file, np.concatenate([labels[number] for number in range(len(clouds))]))
        peak = peak_mb(segmenter.device)  # before anything else than labelling takes memory
        inputs = [ScanInput(segmenter, points) for points in clouds]
        parts = ProgramParts if segmenter.counters.get("programs") else StepwiseParts
        self._parts = [None if scan.is_empty else parts(segmenter, scan, self._clock) for scan in inputs]
        self._repeats_a_part = 1 if len(clouds) > 1 else max(1, job.runs // _LEAST_PART_SAMPLES)
        warm_up(self.repeat, len(clouds))
        self.facts = {
            "programs": parts is ProgramParts,
            "points": round(statistics.mean(scan.num_points for scan in inputs)),
            "voxels": round(statistics.mean(scan.num_voxels for scan in inputs)),
            "macs": round(statistics.mean(scan.macs for scan in inputs)),
            "peak_mb": peak,
            "known_fault": _known_fault(segmenter),
        }

    def repeat(self, number):
        with timed_modules(self._clock, timed_network(self._segmenter.model)):
            start = time.perf_counter()
            self._segment(number)
            sample = {"total": (time.perf_counter() - start) * 1e3}
        if network_ms := self._clock.own_times_ms():
            sample["network"] = sum(network_ms.values())
        if number % self._repeats_a_part == 0:
            parts = self._parts[number % len(self._parts)]
            sample |= {"network": 0.0, "maps": 0.0, "floor": 0.0} if parts is None else parts.times_ms()
        return sample

    def _segment(self, number):
        return self._segmenter.segment(self._clouds[number % len(self._clouds)])


class StepwiseParts:
    """Maps and floor; the network is timed where it runs."""

    def __init__(self, segmenter, scan, clock):
        self._segmenter, self._batch, self._clock = segmenter, scan.batch, clock
        self._floor = BareProducts(scan.sparse_costs, segmenter.precision, segmenter.device)

    def times_ms(self):
        with timed_maps(self._clock):
            self._segmenter.run_network(self._batch)
        maps_ms = self._clock.own_times_ms()[MAPS]
        return {"maps": maps_ms, "floor": _time_ms(self._clock, self._floor.run)}


class ProgramParts:
    """Network, maps and floor where clouds are labelled by programs, inside of which nothing can be timed. The maps are
    what the network takes longer with them than without."""

    def __init__(self, segmenter, scan, clock):
        self._network, self._clock = FixedNetwork(segmenter, scan), clock
        self._floor = BareProducts(scan.sparse_costs, segmenter.precision, segmenter.device)

    def times_ms(self):
        network_ms = _time_ms(self._clock, self._network.run)
        maps_ms = max(network_ms - _time_ms(self._clock, self._network.run_on_kept_maps), 0.0)
        return {"network": network_ms, "maps": maps_ms, "floor": _time_ms(self._clock, self._floor.run)}


def _time_ms(clock, function):
    clock.start("function")
    function()
    clock.stop()
    return clock.own_times_ms()["function"]


def _known_fault(segmenter):
    known_fault = getattr(segmenter.model.backend, "known_fault", None)
    return known_fault(segmenter.device) if known_fault else None
