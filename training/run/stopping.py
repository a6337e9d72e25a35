"""Reasons to end a run early and keep its state: the time limit, Ctrl-C or a termination signal."""

import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any


class StopRequest:
    """Within its `with` block the first SIGINT or SIGTERM only sets a flag, and `note(text)` tells the user; a second
    one acts as usual. A signal that this process was started to ignore stays ignored."""

    def __init__(self, max_minutes: float | None, note: Callable[[str], object]) -> None:
        self._note = note
        self._limit_s = float("inf") if max_minutes is None else max_minutes * 60
        self._start = time.monotonic()
        self.signal_name: str | None = None
        """SIGINT or SIGTERM, after it came to this process."""
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) != signal.SIG_IGN:
                    self._previous[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._restore()

    def reason(self, needed_s: float) -> str | None:
        """Why to stop now: "interrupted", "max_minutes" (`needed_s` more seconds would exceed the limit), or None."""
        if self.signal_name is not None:
            return "interrupted"
        return "max_minutes" if time.monotonic() - self._start + needed_s > self._limit_s else None

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.signal_name = signal.Signals(number).name
        self._restore()
        self._note("stops after this step or validation and keeps the state; once more stops at once")

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}
