"""Clouds from points to labels: the main table."""

import statistics
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from pvd_cli.bench.measurement import warm_up
from pvd_cli.bench.parts import ProgramParts, StepwiseParts
from pvd_cli.bench.plan import Job, Plan, Progress, Row
from pvd_cli.bench.scan_input import ScanInput, timed_network
from pvd_cli.bench.spans import SpanClock, timed_modules
from pvd_cli.bench.turns import Outcome, Task, by_scan, measure
from pvd_core.borders.wording import counted
from pvd_core.runtime.memory import peak_mb
from pvd_core.segmenter import Segmentation, Segmenter

# Medians of maps and floor need fewer samples than percentiles of the total.
_LEAST_PART_SAMPLES = 20


def benchmark(plan: Plan, progress: Progress | None = None, pool: bool = False) -> dict[str, Any]:
    """{"rows", "skipped": combinations that do not run here, with their reason, "ended_by": None, or the interrupt that
    ended the measuring early}. benchmarks/README.md explains the fields of a row. With `pool` the samples go round all
    scans, and a row stands for all of them."""
    pooled: list[Task] = [({"scan": counted(len(plan.scans), "scan")}, list(plan.scans.values()))]
    measured = measure("labelling", plan, pooled if pool else by_scan(plan), progress)
    return measured.table(labelling_rows(measured.outcomes))


def labelling_rows(outcomes: Sequence[Outcome]) -> list[Row]:
    """A row for each Outcome, compared with the others for its network and scan."""
    return [_row(outcome, [other for other in outcomes if _is_same_task(other, outcome)]) for outcome in outcomes]


class LabellingTimes:
    """Measures Segmenter.segment and, in turns with it, the parts of a row."""

    def __init__(self, segmenter: Segmenter, clouds: Sequence[np.ndarray], job: Job) -> None:
        self._segmenter, self._clouds = segmenter, clouds
        self._clock = SpanClock(segmenter.device)
        labels: dict[int, np.ndarray] = {}
        warm_up(lambda number: labels.update({number % len(clouds): self._segment(number).labels}), len(clouds))
        np.save(job.labels_file, np.concatenate([labels[number] for number in range(len(clouds))]))
        peak = peak_mb(segmenter.device)  # before anything but labelling takes memory
        inputs = [ScanInput(segmenter, points) for points in clouds]
        uses_programs = bool(segmenter.counters.get("programs"))
        parts: type[ProgramParts | StepwiseParts] = ProgramParts if uses_programs else StepwiseParts
        self._parts = [None if scan.is_empty else parts(segmenter, scan, self._clock) for scan in inputs]
        self._repeats_a_part = 1 if len(clouds) > 1 else max(1, job.runs // _LEAST_PART_SAMPLES)
        warm_up(self.repeat, len(clouds))
        self.facts: dict[str, Any] = {
            "programs": uses_programs,
            "points": round(statistics.mean(scan.num_points for scan in inputs)),
            "voxels": round(statistics.mean(scan.num_voxels for scan in inputs)),
            "macs": round(statistics.mean(scan.macs for scan in inputs)),
            "peak_mb": peak,
            "known_fault": _known_fault(segmenter),
        }

    def repeat(self, number: int) -> dict[str, float]:
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

    def _segment(self, number: int) -> Segmentation:
        return self._segmenter.segment(self._clouds[number % len(self._clouds)])


def _known_fault(segmenter: Segmenter) -> str | None:
    known_fault = getattr(segmenter.model.backend, "known_fault", None)
    return known_fault(segmenter.device) if known_fault else None


def _is_same_task(outcome: Outcome, other: Outcome) -> bool:
    return all(outcome.job.names[name] == other.job.names[name] for name in ("model", "scan"))


def _row(outcome: Outcome, same_task: Sequence[Outcome]) -> Row:
    network_ms, floor_ms = outcome.median("network"), outcome.median("floor")
    names = {"backend": "spconv", "beside": outcome.job.names["beside"]}
    of_spconv = [other for other in same_task if names.items() <= other.job.names.items()]
    ratios = {_engine(other): _ratio(other.median("network"), network_ms) for other in of_spconv}
    nearest = min(of_spconv, key=lambda other: _unfairness(other, outcome), default=None)
    return {
        **outcome.job.names,
        **outcome.facts,
        "samples": len(outcome.samples),
        "median_ms": outcome.median("total"),
        "p90_ms": outcome.percentile("total", 90),
        "p99_ms": outcome.percentile("total", 99),
        "network_ms": network_ms,
        "maps_ms": outcome.median("maps"),
        "floor_ms": floor_ms,
        "ratio_to_floor": _ratio(network_ms, floor_ms),
        "ratio_to_spconv": None if nearest is None else ratios[_engine(nearest)],
        "ratio_to_spconv_of": None if nearest is None else _engine(nearest),
        "ratios_to_spconv": ratios,
        "same_labels": float(np.mean(outcome.labels == same_task[0].labels)) if len(outcome.labels) else 1.0,
    }


def _unfairness(of_spconv: Outcome, outcome: Outcome) -> tuple[bool, ...]:
    """Sort key of spconv's rows, the fairest one to compare `outcome` with first: its results are right (on a CPU only
    those with one thread are); it has the same precision, else float32; it has the same number of threads."""
    names, own = of_spconv.job.names, outcome.job.names
    return (
        of_spconv.facts["known_fault"] is not None,
        names["precision"] != own["precision"],
        names["precision"] != "fp32",
        of_spconv.facts["threads"] != outcome.facts["threads"],
    )


def _engine(outcome: Outcome) -> str:
    threads = outcome.facts["threads"]
    return f"{outcome.job.names['precision']}, {counted(threads, 'thread')}"


def _ratio(numerator: float, denominator: float) -> float | None:
    return numerator / denominator if denominator else None
