"""What came of labelling a bag."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pvd_core.borders.wording import counted
from pvd_core.taxonomy import Taxonomy
from pvd_ros.poses import summary
from pvd_ros.report.latency import latency_table

_MOST_LINES = 20


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

    bag: the bag that was written. points: those of the labelled clouds. points_of_class: the same by class id of
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
    points_of_class: np.ndarray = field(init=False)
    rejected: Counter[str] = field(default_factory=Counter)
    rejections: list[Rejection] = field(default_factory=list)
    damage: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    num_spoilt: int = 0
    history: dict[str, int] = field(default_factory=dict)
    latency_ms: dict[str, dict[str, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.points_of_class = np.zeros(self.taxonomy.num_classes, np.int64)

    @property
    def is_whole(self) -> bool:
        """Whether every cloud of the bag was labelled."""
        return not self.rejected and not self.damage

    def count_labels(self, labels: np.ndarray) -> None:
        """Counts a labelled cloud. `labels`: class ids, (N,)."""
        self.labelled += 1
        self.points += len(labels)
        self.points_of_class += np.bincount(labels, minlength=self.taxonomy.num_classes)

    def reject(self, rejection: Rejection) -> None:
        """Counts a cloud that was not labelled."""
        self.rejected[rejection.reason] += 1
        self.rejections.append(rejection)

    def rejected_lines(self) -> list[str]:
        """The rejected clouds by reason, then each of the first ones."""
        lines = [f"rejected {count}: {reason}" for reason, count in sorted(self.rejected.items())]
        for number, stamp_ns, _, detail in self.rejections[:_MOST_LINES]:
            lines.append(f"  cloud {number}, stamp {stamp_ns // 10**9}.{stamp_ns % 10**9:09}: {detail}")
        if len(self.rejections) > _MOST_LINES:
            lines.append(f"  and {counted(len(self.rejections) - _MOST_LINES, 'more cloud')}")
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
