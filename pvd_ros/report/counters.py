"""Counts of what happened to clouds: received = labelled + dropped + rejected + skipped (+ the one in work)."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from statistics import median


@dataclass
class CloudCounters:
    """Each number is written by one thread only: received, dropped, lost and gaps by the subscription, the others by
    the worker.

    received: clouds that reached the node.
    labelled: clouds that were labelled and published.
    dropped: clouds replaced by a newer one while the worker was busy.
    skipped: clouds not labelled because nobody subscribes to the output.
    rejected: {reason: clouds}; the reasons are codec.REASONS and `internal_error`.
    lost: clouds that the middleware reports as lost before they reached the node.
    gaps: clouds that are missing to judge by the spacing of the stamps, wherever they were lost.
    foreign_stamps: clouds with a stamp of another clock.
    """

    received: int = 0
    labelled: int = 0
    dropped: int = 0
    skipped: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    gaps: int = 0
    foreign_stamps: int = 0

    def as_numbers(self) -> dict[str, int]:
        """All counts by name. "rejected" is the sum over reasons; each reason is there as "rejected_<reason>" too."""
        reasons = {f"rejected_{reason}": count for reason, count in sorted(self.rejected.items())}
        return {
            "received": self.received,
            "labelled": self.labelled,
            "dropped": self.dropped,
            "skipped": self.skipped,
            "rejected": sum(self.rejected.values()),
            **reasons,
            "lost": self.lost,
            "gaps": self.gaps,
            "foreign_stamps": self.foreign_stamps,
        }


class StampGaps:
    """Counts the clouds that are missing between stamps.

    The period of the sensor is estimated as the median of the latest spacings. A jump of at least `_LONGEST_GAP`
    periods is taken for a pause or a restart and not counted.
    """

    _LONGEST_GAP = 50
    _LEAST_SPACINGS = 5

    def __init__(self) -> None:
        self._last_ns: int | None = None
        self._spacings_ns: deque[int] = deque(maxlen=21)

    def missing_before(self, stamp_ns: int) -> int:
        """The number of clouds missing between the previous stamp and `stamp_ns`, in nanoseconds."""
        last_ns, self._last_ns = self._last_ns, stamp_ns
        if last_ns is None or stamp_ns <= last_ns:
            return 0
        spacing_ns = stamp_ns - last_ns
        usual_ns = median(self._spacings_ns) if len(self._spacings_ns) >= self._LEAST_SPACINGS else spacing_ns
        self._spacings_ns.append(spacing_ns)
        missing = round(spacing_ns / usual_ns) - 1
        return missing if 0 < missing < self._LONGEST_GAP else 0
