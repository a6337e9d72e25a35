"""Lines for the terminal while clouds are dropped, or lost on their way to the node. Needs no ROS."""

from __future__ import annotations

import math
from collections.abc import Mapping

from pvd_core.borders.wording import counted
from pvd_ros.report.missing import StampGaps

PERIOD_S = 10.0
TOO_FAST = (
    "they come faster than they can be labelled, and the newest is taken; a GPU (device), another num_threads, "
    "a smaller network or a slower sensor drops fewer"
)


class LossLines:
    """Says what share of the clouds was dropped or lost since the last line: at once when it begins, then at most every
    `PERIOD_S` seconds while it goes on. remedy: what to do about lost clouds."""

    def __init__(self, remedy: str) -> None:
        self._remedy = remedy
        self._counts: dict[str, int] = {}
        self._next_s: float | None = None

    def lines(self, counts: Mapping[str, int], now_s: float, is_lost_exact: bool) -> list[str]:
        """Lines to print now, none in most cases.

        counts: of CloudCounters.as_numbers. now_s: of a steady clock; infinity for what has not been said so far.
        is_lost_exact: whether counts["lost"] is all; otherwise the gaps between stamps count if they are more, and at
        the end of few clouds a line says that these do not tell.
        """
        if self._next_s is not None and now_s < self._next_s:
            return []
        since = {name: counts[name] - self._counts.get(name, 0) for name in ("received", "dropped", "lost", "gaps")}
        self._counts = dict(counts)
        received, dropped = since["received"], since["dropped"]
        lost = since["lost"] if is_lost_exact else max(since["lost"], since["gaps"])
        lines = []
        if now_s == math.inf and not is_lost_exact and not lost and 0 < counts["received"] <= StampGaps.LEAST_SPACINGS:
            came = (
                f"{counted(counts['received'], 'cloud')} came, too few to tell by their stamps whether others were lost"
            )
            lines.append(f"{came}; if more were sent: {self._remedy}")
        if dropped > 0:
            lines.append(f"{_share(dropped, received)} received clouds dropped: {TOO_FAST}")
        if lost > 0:
            lines.append(f"{_share(lost, received + lost)} clouds never reached this node: {self._remedy}")
        self._next_s = now_s + PERIOD_S if lines else None
        return lines


def _share(count: int, total: int) -> str:
    return f"{count:,} of {total:,} ({100 * count / total:.1f} %)"
