"""Progress on stderr: a bar on a terminal, a line every ten seconds elsewhere."""

import sys
import time
from collections.abc import Iterator, Sequence
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

_Item = TypeVar("_Item")

_SECONDS_BETWEEN_LINES = 10


class Steps:
    """Shows how many steps are done, the rate, and the time left; a context manager. `unit`: what the steps are, in the
    plural."""

    def __init__(self, title: str, unit: str) -> None:
        self._title, self._unit = title, unit
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
        )
        self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
        self._task: TaskID | None = None
        self._started = self._last_line = time.monotonic()

    def __enter__(self) -> "Steps":
        self._started = self._last_line = time.monotonic()
        if sys.stderr.isatty():
            self._bar.start()
            self._task = self._bar.add_task(self._title, total=None, note="")
        return self

    def __exit__(self, *exception: object) -> None:
        if self._task is not None:
            self._bar.stop()

    def show(self, done: int, total: int) -> None:
        """Shows that `done` of `total` steps are done."""
        now = time.monotonic()
        rate = done / max(now - self._started, 1e-9)
        note = f"{rate:.1f} {self._unit}/s, {(total - done) / rate:.0f} s left" if done else ""
        if self._task is not None:
            self._bar.update(self._task, completed=done, total=total, note=note)
        elif now - self._last_line >= _SECONDS_BETWEEN_LINES:
            self._last_line = now
            print(f"{self._title}: {done} of {total}, {note}", file=sys.stderr, flush=True)


def tracked(items: Sequence[_Item], title: str, unit: str) -> Iterator[_Item]:
    """Yields the items and shows how many are done."""
    with Steps(title, unit) as steps:
        for done, item in enumerate(items, start=1):
            yield item
            steps.show(done, len(items))
