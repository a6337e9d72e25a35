"""A line for the log now and then: what became of the clouds, and how long they took. Needs no ROS."""

from __future__ import annotations

from collections.abc import Mapping

PERIOD_S = 10.0
_FATES = ("labelled", "dropped", "rejected", "skipped")


class SummaryLine:
    """Sums up the time since the last line, every PERIOD_S seconds in which clouds came."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._next_s: float | None = None

    def line(self, counts: Mapping[str, int], latency_ms: Mapping[str, Mapping[str, float]], now_s: float) -> str:
        """The line to print now, "" in most cases.

        counts: of CloudCounters.as_numbers. latency_ms: of LatencyWindow.percentiles. now_s: of a steady clock.
        """
        if self._next_s is None:
            self._next_s = now_s + PERIOD_S
        if now_s < self._next_s:
            return ""
        seconds = now_s - self._next_s + PERIOD_S
        since = {name: counts[name] - self._counts.get(name, 0) for name in ("received", *_FATES)}
        self._counts, self._next_s = dict(counts), now_s + PERIOD_S
        if not since["received"]:
            return ""
        fates = ", ".join(f"{name} {since[name]}" for name in _FATES)
        times = [
            f"{words} {latency_ms[stage]['p50']:.0f} / {latency_ms[stage]['p90']:.0f} ms"
            for stage, words in (("total", "total"), ("stamp_to_publish", "stamp to published"))
            if stage in latency_ms
        ]
        return f"{seconds:.0f} s: received {since['received']}, {fates}" + "".join(f"; {each}" for each in times)
