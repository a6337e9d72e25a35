"""Poses that one thread feeds and another one waits for."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition

import numpy as np

from pvd_ros.poses.source import LATE, NEVER, NoPoseError, PoseSource


class WaitingPoses:
    """A PoseSource around another one: a pose that is late is waited for, at most `wait_s` seconds. So are the first
    poses of all, once: where none ever come, each cloud would wait in vain. After a wait in vain nothing is waited for
    until the source has taken a message: several clouds at once, or a source that fell silent, cost one wait."""

    def __init__(self, source: PoseSource, wait_s: float) -> None:
        self._source, self._wait_s = source, wait_s
        self._condition = Condition()
        self._waits_for_first = True
        self._waited_in_vain = False
        self.counters, self.remarks = source.counters, source.remarks

    @contextmanager
    def feeding(self) -> Iterator[None]:
        """While the source takes a message."""
        with self._condition:
            yield
            self._waited_in_vain = False
            self._condition.notify_all()

    def pose(self, stamp_ns: int, frame: str) -> np.ndarray:
        """As PoseSource has it."""
        deadline = time.monotonic() + self._wait_s
        with self._condition:
            while True:
                try:
                    return self._source.pose(stamp_ns, frame)
                except NoPoseError as error:
                    left_s = deadline - time.monotonic()
                    is_worth_it = error.reason == LATE or (error.reason == NEVER and self._waits_for_first)
                    if not is_worth_it or left_s <= 0 or self._waited_in_vain:
                        self._waits_for_first = False
                        self._waited_in_vain |= is_worth_it
                        if error.reason != LATE:
                            raise
                        waited = f"after {self._wait_s * 1e3:g} ms of waiting, more with a larger pose_wait_ms"
                        raise NoPoseError(LATE, f"{error} ({waited})") from None
                self._condition.wait(left_s)

    def jumped_between(self, start_ns: int, end_ns: int, frame: str) -> bool:
        """As PoseSource has it."""
        with self._condition:
            return self._source.jumped_between(start_ns, end_ns, frame)
