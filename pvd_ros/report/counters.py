"""Counts of what happened to clouds.

received = labelled + dropped + rejected + skipped, plus the one in work and the one that waits.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class CloudCounters:
    """Each number is written by one thread only: received, dropped, lost and gaps by the subscription, the others by
    the worker.

    received: clouds that reached the node.
    labelled: clouds that were labelled and published.
    dropped: clouds replaced by a newer one while the worker was busy.
    skipped: clouds not labelled because nobody subscribes to an output, or because they came too early.
    rate_limited: those of them that came earlier than the rate limit allows.
    rejected: {reason: clouds}; the reasons are codec.REASONS and `internal_error`.
    lost: clouds that were sent and never reached the node, as far as the middleware lets it be known (LostClouds).
    gaps: clouds that are missing to judge by the spacing of the stamps, wherever they were lost (StampGaps).
    foreign_stamps: clouds with a stamp of another clock.
    """

    received: int = 0
    labelled: int = 0
    dropped: int = 0
    skipped: int = 0
    rate_limited: int = 0
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
            "rate_limited": self.rate_limited,
            "rejected": sum(self.rejected.values()),
            **reasons,
            "lost": self.lost,
            "gaps": self.gaps,
            "foreign_stamps": self.foreign_stamps,
        }
