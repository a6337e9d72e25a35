"""What became of every cloud: received = labelled + dropped + rejected + skipped (+ the one in work)."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from statistics import median


@dataclass
class CloudCounters:
    """Each number has one writer: the subscription (received, dropped, lost, gaps) or the worker (the others).

    dropped: replaced by a newer cloud while the worker was busy. rejected: by reason, see codec.REASONS, and
    `internal_error`. skipped: nobody subscribed to the output. lost: as the middleware reports it, before this node.
    gaps: clouds missing by the spacing of stamps, however they got lost. foreign_stamps: stamps of another clock.
    """

    received: int = 0
    labelled: int = 0
    dropped: int = 0
    skipped: int = 0
    rejected: Counter = field(default_factory=Counter)
    lost: int = 0
    gaps: int = 0
    foreign_stamps: int = 0

    def as_numbers(self) -> dict[str, int]:
        """Flat, for diagnostics: rejected is the sum, rejected_<reason> its parts."""
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
    """Counts the clouds missing between two stamps, from the usual spacing of the last ones.

    A sensor's period is not known beforehand; the median of recent spacings is, after a few clouds. A jump of more
    than `_LONGEST_GAP` periods is a pause or a restart, not a loss.
    """

    _LONGEST_GAP = 50
    _NEEDED = 5

    def __init__(self):
        self._last_ns: int | None = None
        self._spacings_ns: deque[int] = deque(maxlen=21)

    def missing_before(self, stamp_ns: int) -> int:
        """The number of clouds that should have come between the last stamp and this one."""
        last_ns, self._last_ns = self._last_ns, stamp_ns
        if last_ns is None or stamp_ns <= last_ns:
            return 0
        spacing_ns = stamp_ns - last_ns
        usual_ns = median(self._spacings_ns) if len(self._spacings_ns) >= self._NEEDED else spacing_ns
        self._spacings_ns.append(spacing_ns)
        missing = round(spacing_ns / usual_ns) - 1
        return missing if 0 < missing < self._LONGEST_GAP else 0
