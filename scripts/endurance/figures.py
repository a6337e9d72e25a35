"""What a run of the node says: one row of figures, and what of it does not hold."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from pvd_core.runtime.hardware import hardware
from scripts.endurance.sensor import Run

Figures = dict[str, Any]
MOST_PROCESSING_TIMES, MOST_GROWTH_PERCENT = 2.0, 5.0
_FATES = ("labelled", "dropped", "rejected", "skipped")


def figures_of(run: Run, counts: Mapping[str, int], options: argparse.Namespace) -> Figures:
    """The figures of a run. counts: the node's own, of which those are taken off that were sent to measure its pace.

    processing_ms: the median of `total`; p99_ms: of arrival to published. unaccounted: received clouds of which nobody
    knows what became of them. rss_growth_percent: from the second tenth of the run to the last.
    """
    counts = {name: counts[name] - run.num_before if name in ("received", "labelled") else counts[name] for name in
              ("received", *_FATES, "lost")}  # fmt: skip
    latency_ms = np.add(run.total_ms, run.waited_ms) if run.total_ms else np.full(1, np.nan)
    processing_ms, p99_ms = float(np.median(run.total_ms or np.nan)), float(np.percentile(latency_ms, 99))
    tenth = max(1, len(run.memory_mb) // 10)
    early, late = (float(np.median(part)) for part in (run.memory_mb[tenth : 2 * tenth + 1], run.memory_mb[-tenth:]))
    return {
        "minutes": options.minutes,
        "times": options.times,
        "points": options.points,
        "sent": run.num_sent,
        "lost": counts["lost"],
        **{name: counts[name] for name in ("received", *_FATES)},
        "unaccounted": counts["received"] - sum(counts[name] for name in _FATES),
        "processing_ms": round(processing_ms, 2),
        "p99_ms": round(p99_ms, 2),
        "p99_over_processing": round(p99_ms / processing_ms, 3),
        "rss_mb": round(late, 1),
        "rss_growth_percent": round(100 * (late - early) / early, 2),
        "machine": hardware(torch.device("cpu"))["cpu"],
    }


def complaints(figures: Figures) -> list[str]:
    """What does not hold, as sentences."""
    found = []
    if figures["unaccounted"]:
        found.append(f"{figures['unaccounted']} received clouds are not accounted for")
    if not figures["labelled"]:
        found.append("no cloud was labelled")
    if figures["times"] > 1 and not figures["dropped"]:
        found.append("no cloud was dropped: this was no overload")
    if not figures["p99_over_processing"] <= MOST_PROCESSING_TIMES:
        found.append(
            f"of 100 labelled clouds one took {figures['p99_over_processing']} processing times from arrival to "
            f"published, expected at most {MOST_PROCESSING_TIMES:g}"
        )
    if not figures["rss_growth_percent"] <= MOST_GROWTH_PERCENT:
        found.append(f"memory grew by {figures['rss_growth_percent']} %, expected at most {MOST_GROWTH_PERCENT:g}")
    return found


def markdown_of(figures: Figures) -> str:
    """The figures as a table."""
    rows = "".join(f"| {name} | {value} |\n" for name, value in figures.items())
    return f"| figure | value |\n|---|---|\n{rows}"
