"""What the measuring process of a row of the main table does."""

import statistics
import time

import numpy as np
import torch

from pvd_core.benchmark.floor import BareProducts
from pvd_core.benchmark.memory import peak_mb
from pvd_core.benchmark.scan_input import ScanInput, timed_network
from pvd_core.benchmark.spans import MAPS, SpanClock, timed_maps, timed_modules
from pvd_core.benchmark.warm_up import warm_up
from pvd_core.segmenter import PRECISIONS

# Medians of maps and floor need fewer samples than percentiles of the total.
_LEAST_PART_SAMPLES = 20


class LabellingTimes:
    """Measures Segmenter.segment in the measuring process, and in turns with it the maps and the floor."""

    def __init__(self, segmenter, clouds, job):
        self._segmenter, self._clouds = segmenter, clouds
        self._clock = SpanClock(segmenter.device)
        labels = {}
        warm_up(lambda number: labels.update({number % len(clouds): self._segment(number).labels}), len(clouds))
        np.save(job.labels_file, np.concatenate([labels[number] for number in range(len(clouds))]))
        peak = peak_mb(segmenter.device)  # before anything else than labelling takes memory
        segmenter.model.requires_grad_(False)
        self._inputs = [ScanInput(segmenter, points) for points in clouds]
        self._repeats_a_part = 1 if len(clouds) > 1 else max(1, job.runs // _LEAST_PART_SAMPLES)
        dtype = PRECISIONS[segmenter.precision] or torch.float32
        self._floors = [BareProducts(scan.sparse_costs, dtype, segmenter.device) for scan in self._inputs]
        warm_up(self._parts_ms, len(clouds))
        self.facts = {
            "points": round(statistics.mean(scan.num_points for scan in self._inputs)),
            "voxels": round(statistics.mean(scan.num_voxels for scan in self._inputs)),
            "macs": round(statistics.mean(scan.macs for scan in self._inputs)),
            "peak_mb": peak,
        }

    def repeat(self, number):
        with timed_modules(self._clock, timed_network(self._segmenter.model)):
            start = time.perf_counter()
            self._segment(number)
            total_ms = (time.perf_counter() - start) * 1e3
        sample = {"total": total_ms, "network": sum(self._clock.own_times_ms().values())}
        return sample if number % self._repeats_a_part else {**sample, **self._parts_ms(number)}

    def _segment(self, number):
        return self._segmenter.segment(self._clouds[number % len(self._clouds)])

    def _parts_ms(self, number):
        scan, floor = self._inputs[number % len(self._inputs)], self._floors[number % len(self._inputs)]
        if scan.is_empty:
            return {"maps": 0.0, "floor": 0.0}
        with timed_maps(self._clock):
            self._segmenter.run_network(scan.batch)
        maps_ms = self._clock.own_times_ms()[MAPS]
        self._clock.start("floor")
        floor.run()
        self._clock.stop()
        return {"maps": maps_ms, "floor": self._clock.own_times_ms()["floor"]}
