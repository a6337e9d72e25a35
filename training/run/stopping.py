"""Reasons to end a run early, with its state kept: time is up, or Ctrl-C / a termination signal."""

import signal
import threading
import time


class StopRequest:
    """Within its `with` block the first SIGINT or SIGTERM only sets a flag, and `note(text)` says so; a second one acts
    as usual."""

    def __init__(self, max_minutes, note):
        self._note = note
        self._limit_s = float("inf") if max_minutes is None else max_minutes * 60
        self._start = time.monotonic()
        self._signalled = False
        self._previous = {}

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *exc_info):
        self._restore()

    def reason(self, needed_s):
        """ "interrupted", "max_minutes" when `needed_s` more seconds would exceed the limit, or None."""
        if self._signalled:
            return "interrupted"
        return "max_minutes" if time.monotonic() - self._start + needed_s > self._limit_s else None

    def _on_signal(self, number, frame):
        self._signalled = True
        self._restore()
        self._note("stops after this step or validation and keeps the state; once more stops at once")

    def _restore(self):
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}
