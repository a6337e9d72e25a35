"""The rows of the main table, from what their processes measured."""

from dataclasses import asdict, dataclass

import numpy as np

from pvd_core.borders.wording import counted


@dataclass(frozen=True)
class BenchmarkRow:
    """One network, scan, backend, precision and number of threads; times are medians unless they say otherwise.

    `network_ms` is the sparse U-Net with its kernel maps, as it runs within the total; `maps_ms` the maps alone;
    `floor_ms` the U-Net's matrix products alone on operands that lie ready. Ratios are None where there is nothing to
    divide by.
    """

    model: str
    scan: str
    backend: str
    precision: str
    threads: int
    programs: bool  # whether clouds were labelled by programs of fixed shapes, on a GPU as CUDA graphs
    points: int
    voxels: int
    macs: int
    samples: int
    median_ms: float
    p90_ms: float
    p99_ms: float
    network_ms: float
    maps_ms: float
    floor_ms: float
    ratio_to_floor: float | None
    ratio_to_spconv: float | None  # network_ms of spconv's row over that of this row
    ratio_to_spconv_of: str | None  # which of spconv's rows that is
    ratios_to_spconv: dict[str, float]  # to each of spconv's rows for this network and scan
    same_labels: float  # share of the labels that are those of the first row for this network and scan
    peak_mb: float
    known_fault: str | None  # why results of this row are wrong, where the backend knows


def labelling_rows(outcomes, labels):
    """BenchmarkRows as dictionaries; `labels` are those of each Outcome's clouds, uint8."""
    rows = []
    for outcome, own_labels in zip(outcomes, labels, strict=True):
        same = [(other, of) for other, of in zip(outcomes, labels, strict=True) if _is_same_task(other, outcome)]
        rows.append(asdict(_row(outcome, own_labels, same[0][1], [other for other, _ in same])))
    return rows


def _is_same_task(outcome, other):
    return all(outcome.job.names[name] == other.job.names[name] for name in ("model", "scan"))


def _row(outcome, labels, first_labels, same_task):
    network_ms, floor_ms = outcome.median("network"), outcome.median("floor")
    yardsticks = [other for other in same_task if other.job.names["backend"] == "spconv"]
    ratios = {_engine(other): _ratio(other.median("network"), network_ms) for other in yardsticks}
    nearest = min(yardsticks, key=lambda other: _distance(other, outcome), default=None)
    return BenchmarkRow(
        **outcome.job.names,
        **outcome.facts,
        samples=len(outcome.samples),
        median_ms=outcome.median("total"),
        p90_ms=outcome.percentile("total", 90),
        p99_ms=outcome.percentile("total", 99),
        network_ms=network_ms,
        maps_ms=outcome.median("maps"),
        floor_ms=floor_ms,
        ratio_to_floor=_ratio(network_ms, floor_ms),
        ratio_to_spconv=None if nearest is None else ratios[_engine(nearest)],
        ratio_to_spconv_of=None if nearest is None else _engine(nearest),
        ratios_to_spconv=ratios,
        same_labels=float(np.mean(labels == first_labels)) if len(labels) else 1.0,
    )


def _distance(yardstick, outcome):
    """How far spconv's row is from the fair one to compare with: one whose results are right (on a CPU that is the one
    with one thread); of the same precision, else of float32; with the same number of threads."""
    names, own = yardstick.job.names, outcome.job.names
    return (
        yardstick.facts["known_fault"] is not None,
        names["precision"] != own["precision"],
        names["precision"] != "fp32",
        yardstick.facts["threads"] != outcome.facts["threads"],
    )


def _engine(outcome):
    threads = outcome.facts["threads"]
    return f"{outcome.job.names['precision']}, {counted(threads, 'thread')}"


def _ratio(numerator, denominator):
    return numerator / denominator if denominator else None
