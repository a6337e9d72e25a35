"""Clouds that never reached the node: counted by sequence numbers and reports of the middleware, and by stamps."""

from __future__ import annotations

from collections import deque
from statistics import median


class LostClouds:
    """Counts the clouds that the publisher sent and that never came.

    Fast DDS numbers the clouds of a publisher, so that what is missing between two of them is known exactly; what was
    lost before the first and after the last is known from the middleware's reports. Other middlewares only report.

    is_exact: whether the middleware numbers the clouds: then `total` is what was lost up to the last cloud.
    """

    # More is another publisher, whose numbers have nothing to do with those before.
    _LARGEST_GAP = 100_000

    def __init__(self) -> None:
        self.is_exact = False
        self._last_number: int | None = None
        self._reported = 0
        self._counted = 0

    @property
    def total(self) -> int:
        """The clouds lost so far, as far as it is known."""
        return max(self._reported, self._counted)

    def begin(self) -> None:
        """A subscription begins: what was sent since the last one ended is not lost."""
        self._last_number = None
        self._reported = self._counted = self.total

    def report(self, count: int) -> None:
        """The middleware says that it lost `count` clouds."""
        # Fast DDS has been seen to report 2^31 after an oversized cloud.
        if 0 < count < 1 << 30:
            self._reported += count

    def receive(self, number: int | None) -> None:
        """A cloud came. number: the publisher's sequence number of it; None if it is not known, or if there are several
        publishers, whose numbers cannot be told apart."""
        last, self._last_number, self.is_exact = self._last_number, number, number is not None
        if number is None or last is None or not last < number <= last + self._LARGEST_GAP:
            # The first cloud of a publisher: what was lost before it is in the reports alone.
            self._counted = self.total
        else:
            self._counted += number - last - 1


class StampGaps:
    """Counts the clouds that are missing between stamps.

    The period of the sensor is estimated from the latest spacings: the shortest of them, and those close to these, are
    one period; the others are several, with clouds missing between. A jump of at least `_LONGEST_GAP` periods is taken
    for a pause or a restart and not counted. The first spacings wait until there are `LEAST_SPACINGS`, or the end.
    """

    LEAST_SPACINGS = 5
    _LONGEST_GAP = 50

    def __init__(self) -> None:
        self._last_ns: int | None = None
        self._spacings_ns: deque[int] = deque(maxlen=51)
        self._waiting_ns: list[int] = []

    def begin(self) -> None:
        """A subscription begins: nothing is missing between the last stamp of the one before and the next stamp."""
        self._last_ns = None

    def missing_before(self, stamp_ns: int) -> int:
        """The number of clouds that are missing, as `stamp_ns`, in nanoseconds, shows: those between the previous stamp
        and this, and with the first stamp that tells the period all those before."""
        last_ns, self._last_ns = self._last_ns, stamp_ns
        if last_ns is None or stamp_ns <= last_ns:
            return 0
        self._spacings_ns.append(stamp_ns - last_ns)
        self._waiting_ns.append(stamp_ns - last_ns)
        return self._missing() if len(self._spacings_ns) >= self.LEAST_SPACINGS else 0

    def missing_at_end(self) -> int:
        """The number of clouds that are missing between stamps too few to be sure of the period; 0 once it was known,
        and of fewer than two spacings."""
        return self._missing() if len(self._waiting_ns) > 1 else 0

    def _missing(self) -> int:
        period_ns = self._period_ns()
        missing = [round(spacing_ns / period_ns) - 1 for spacing_ns in self._waiting_ns]
        self._waiting_ns.clear()
        return sum(number for number in missing if 0 < number < self._LONGEST_GAP)

    def _period_ns(self) -> float:
        in_order = sorted(self._spacings_ns)
        # Not the very shortest of many: a sensor may slip once.
        shortest = in_order[len(in_order) // 20]
        return median(spacing for spacing in in_order if spacing < 1.5 * shortest)
