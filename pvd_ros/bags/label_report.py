"""What came of labelling a bag."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pvd_core.borders.wording import counted
from pvd_core.taxonomy import Taxonomy
from pvd_ros.bags.class_counts import ClassCounts
from pvd_ros.poses import summary
from pvd_ros.report.latency import latency_table

_MOST_LINES = _MOST_SPANS = 20


class Rejection(NamedTuple):
    """A cloud that was not labelled. number: 1 for the first cloud. stamp_ns: of its header, or its log time if it has
    none that can be read. reason: a key of pvd_ros.codec.REASONS; detail: the same in words."""

    number: int
    stamp_ns: int
    reason: str
    detail: str


@dataclass
class LabelReport:
    """The outcome: clouds = labelled + the sum of rejected, which is {reason: clouds}.

    bag: the bag that was written. points: those of the labelled clouds. classes: what was found of each class of
    `taxonomy`. resumed: labelled clouds taken from an earlier run. was_complete: that run had ended, nothing done.
    rejections: which clouds were rejected. num_spoilt: clouds, of those looked at, whose labels are worthless. damage:
    what could not be read of the old bag; remarks: what else is to be known of it. history: counters of a
    CloudHistory; empty where each cloud was labelled alone. latency_ms: {stage: {"p50", "p90", "p99"}} in milliseconds.
    """

    bag: Path
    topic: str
    labelled_topic: str
    taxonomy: Taxonomy
    clouds: int = 0
    labelled: int = 0
    resumed: int = 0
    was_complete: bool = False
    points: int = 0
    classes: ClassCounts = field(init=False)
    rejected: Counter[str] = field(default_factory=Counter)
    rejections: list[Rejection] = field(default_factory=list)
    damage: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    num_spoilt: int = 0
    history: dict[str, int] = field(default_factory=dict)
    latency_ms: dict[str, dict[str, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.classes = ClassCounts(self.taxonomy.num_classes)

    @property
    def is_whole(self) -> bool:
        """Whether every cloud of the bag was labelled."""
        return not self.rejected and not self.damage

    @property
    def points_of_class(self) -> np.ndarray:
        """Points of the labelled clouds by class id of `taxonomy`, int64 (C,)."""
        return self.classes.points

    def count_labels(self, labels: np.ndarray, confidence: np.ndarray) -> None:
        """Counts a labelled cloud: class ids (N,), and the confidence of each, float32 (N,)."""
        self.labelled += 1
        self.points += len(labels)
        self.classes.add(labels, confidence)

    def reject(self, rejection: Rejection) -> None:
        """Counts a cloud that was not labelled."""
        self.rejected[rejection.reason] += 1
        self.rejections.append(rejection)

    def rejected_lines(self) -> list[str]:
        """The rejected clouds by reason, then which they are, those together of which the same is to be said."""
        lines = [f"rejected {count}: {reason}" for reason, count in sorted(self.rejected.items())]
        alike: dict[str, list[Rejection]] = {}
        for rejection in self.rejections:
            alike.setdefault(rejection.detail, []).append(rejection)
        groups = list(alike.items())
        lines += [f"  {_named(group)}: {detail}" for detail, group in groups[:_MOST_LINES]]
        if left_out := sum(len(group) for _, group in groups[_MOST_LINES:]):
            lines.append(f"  and {counted(left_out, 'more cloud')}")
        return lines

    def text(self) -> str:
        """The report for people, with the table of latencies."""
        lines = [
            f"{self.labelled} of {counted(self.clouds, 'cloud')} labelled ({counted(self.points, 'point')}) "
            f"on {self.labelled_topic}"
        ]
        if self.resumed:
            lines.append(f"{self.resumed} of them by an earlier run")
        lines += self.rejected_lines()
        lines += [f"not read: {damage}" for damage in self.damage]
        lines += [f"note: {remark}" for remark in self.remarks]
        lines += [f"history: {summary(self.history)}"] if self.history else []
        if self.latency_ms:
            lines.append(latency_table(self.latency_ms))
        lines.append(f"complete already, left as it is: {self.bag}" if self.was_complete else f"written: {self.bag}")
        return "\n".join(lines)


def _named(rejections: list[Rejection]) -> str:
    """Clouds by number and stamp, such as "clouds 2 to 5, 9, stamps 1.000000000 to 1.700000000"."""
    spans: list[list[int]] = []
    for number in (each.number for each in rejections):
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    named = [f"{first} to {last}" if last > first else f"{first}" for first, last in spans[:_MOST_SPANS]]
    left_out = sum(last - first + 1 for first, last in spans[_MOST_SPANS:])
    numbers = ", ".join(named) + (f" and {left_out} more" if left_out else "")
    ends = (rejections[0].stamp_ns, rejections[-1].stamp_ns)[: len(rejections)]
    stamps = " to ".join(f"{stamp_ns // 10**9}.{stamp_ns % 10**9:09}" for stamp_ns in ends)
    return f"cloud {numbers}, stamp {stamps}" if len(rejections) == 1 else f"clouds {numbers}, stamps {stamps}"
