"""Clouds from points to labels: the main table."""

import statistics
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from pvd_cli.bench.measurement import Measurement, warm_up
from pvd_cli.bench.parts import program_parts, stepwise_parts
from pvd_cli.bench.plan import Plan, Progress, Row
from pvd_cli.bench.scan_input import ScanInput, timed_network
from pvd_cli.bench.spans import SpanClock, timed_modules
from pvd_cli.bench.turns import Outcome, Task, by_scan, measure
from pvd_core.borders.wording import counted
from pvd_core.runtime.memory import peak_mb
from pvd_core.segmenter import Segmentation, Segmenter

# Medians of maps and floor need fewer samples than percentiles of the total.
_LEAST_PART_SAMPLES = 20


def benchmark(plan: Plan, progress: Progress | None = None, pool: bool = False) -> dict[str, Any]:
    """As `measure`; benchmarks/README.md explains the fields of a row. With `pool` the samples go round all scans, and
    a row stands for all of them."""
    pooled: list[Task] = [({"scan": counted(len(plan.scans), "scan")}, list(plan.scans.values()))]
    return measure("labelling", plan, pooled if pool else by_scan(plan), labelling_rows, progress)


def labelling_times(segmenter: Segmenter, clouds: Sequence[np.ndarray], runs: int) -> Measurement:
    """Segmenter.segment and, in turns with it, the parts of a row."""
    clock, model = SpanClock(segmenter.device), segmenter.model
    labels: dict[int, np.ndarray] = {}

    def segment(number: int) -> Segmentation:
        return segmenter.segment(clouds[number % len(clouds)])

    warm_up(lambda number: labels.update({number % len(clouds): segment(number).labels}), len(clouds))
    peak = peak_mb(segmenter.device)  # before anything but labelling takes memory
    scans = [ScanInput(segmenter, points) for points in clouds]
    uses_programs = bool(segmenter.counters.get("programs"))
    parts_of = program_parts if uses_programs else stepwise_parts
    parts = [None if scan.is_empty else parts_of(segmenter, scan, clock) for scan in scans]
    repeats_a_part = 1 if len(clouds) > 1 else max(1, runs // _LEAST_PART_SAMPLES)

    def repeat(number: int) -> dict[str, float]:
        with timed_modules(clock, timed_network(model)):
            start = time.perf_counter()
            segment(number)
            sample = {"total": (time.perf_counter() - start) * 1e3}
        if network_ms := clock.own_times_ms():
            sample["network"] = sum(network_ms.values())
        if number % repeats_a_part == 0:
            times_of = parts[number % len(parts)]
            sample |= times_of() if times_of else {"network": 0.0, "maps": 0.0, "floor": 0.0}
        return sample

    warm_up(repeat, len(clouds))
    known_fault = getattr(model.backend, "known_fault", lambda _device: None)
    facts = {
        "programs": uses_programs,
        "points": round(statistics.mean(scan.num_points for scan in scans)),
        "voxels": round(statistics.mean(scan.num_voxels for scan in scans)),
        "macs": round(statistics.mean(scan.macs for scan in scans)),
        "peak_mb": peak,
        "known_fault": known_fault(segmenter.device),
    }
    return Measurement(repeat, facts, np.concatenate([labels[number] for number in range(len(clouds))]))


def labelling_rows(outcomes: Sequence[Outcome]) -> list[Row]:
    """A row for each Outcome, compared with the others for its network and scan."""
    return [_row(outcome, [other for other in outcomes if _is_same_task(other, outcome)]) for outcome in outcomes]


def _is_same_task(outcome: Outcome, other: Outcome) -> bool:
    return all(outcome.job.names[name] == other.job.names[name] for name in ("model", "scan"))


def _row(outcome: Outcome, same_task: Sequence[Outcome]) -> Row:
    network_ms, floor_ms = outcome.median("network"), outcome.median("floor")
    names = {"backend": "spconv", "beside": outcome.job.names["beside"]}
    of_spconv = [other for other in same_task if names.items() <= other.job.names.items()]
    ratios = {_engine(other): _ratio(other.median("network"), network_ms) for other in of_spconv}
    nearest = _engine(min(of_spconv, key=lambda other: _unfairness(other, outcome))) if of_spconv else None
    return {
        **outcome.circumstances,
        "median_ms": outcome.median("total"),
        "p90_ms": outcome.percentile("total", 90),
        "p99_ms": outcome.percentile("total", 99),
        "network_ms": network_ms,
        "maps_ms": outcome.median("maps"),
        "floor_ms": floor_ms,
        "ratio_to_floor": _ratio(network_ms, floor_ms),
        "ratio_to_spconv": ratios[nearest] if nearest else None,
        "ratio_to_spconv_of": nearest,
        "ratios_to_spconv": ratios,
        "same_labels": float(np.mean(outcome.labels == same_task[0].labels)) if len(outcome.labels) else 1.0,
    }


def _unfairness(of_spconv: Outcome, outcome: Outcome) -> tuple[bool, ...]:
    """Sort key of spconv's rows, the fairest one to compare `outcome` with first: its results are right (on a CPU only
    those with one thread are); it has the same precision, else float32; it has the same number of threads."""
    names, own = of_spconv.names, outcome.names
    return (
        of_spconv.facts["known_fault"] is not None,
        names["precision"] != own["precision"],
        names["precision"] != "fp32",
        names["threads"] != own["threads"],
    )


def _engine(outcome: Outcome) -> str:
    return f"{outcome.names['precision']}, {counted(outcome.names['threads'], 'thread')}"


def _ratio(numerator: float, denominator: float) -> float | None:
    return numerator / denominator if denominator else None
