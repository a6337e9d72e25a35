"""A fleet of bags for people: progress while they are labelled, and the table at the end."""

import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.status import Status
from rich.table import Table

if TYPE_CHECKING:
    from pvd_ros.fleet.report import FleetReport
    from pvd_ros.fleet.task import BagResult, Event

_SECONDS_BETWEEN_LINES = 10


class FleetProgress:
    """Bags done, at work and failed, and clouds, on stderr: a line that changes on a terminal, one every ten seconds
    elsewhere. A context manager."""

    def __init__(self, num_bags: int) -> None:
        self._num_bags, self._done, self._failed = num_bags, 0, 0
        self._clouds: dict[str, int] = {}
        self._at_work: set[str] = set()
        self._started = self._last_line = time.monotonic()
        self._status = Status("", console=Console(stderr=True)) if sys.stderr.isatty() else None

    def __enter__(self) -> "FleetProgress":
        if self._status:
            self._status.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._status:
            self._status.stop()

    def show(self, event: "Event") -> None:
        """Takes the news of a bag."""
        name = event.task.name
        if event.kind == "started":
            self._at_work.add(name)
        elif event.kind == "clouds":
            self._clouds[name] = event.number
        else:
            self._at_work.discard(name)
        if event.kind == "lost":
            print(f"note: the process that labelled {name} has ended; the bag is tried again", file=sys.stderr)
        if event.kind == "done" and event.result:
            self._done += 1
            self._failed += event.result.status == "failed"
            self._clouds[name] = event.result.labelled
        if self._status:
            self._status.update(self.line())
        elif time.monotonic() - self._last_line >= _SECONDS_BETWEEN_LINES:
            self._last_line = time.monotonic()
            print(self.line(), file=sys.stderr, flush=True)

    def line(self) -> str:
        """How far it is, in one line."""
        clouds = sum(self._clouds.values())
        rate = clouds / max(time.monotonic() - self._started, 1e-9)
        at_work = f"{len(self._at_work)} at work, " if self._at_work else ""
        return (
            f"labelling: {self._done} of {self._num_bags} bags done, {at_work}{self._failed} failed; "
            f"{clouds:,} clouds, {rate:.1f} clouds/s"
        )


def print_fleet(report: "FleetReport") -> None:
    """Prints a row for each bag, and why some are not whole."""
    table = Table()
    for name in ("bag", "clouds", "labelled", "outcome"):
        table.add_column(name, justify="right" if name in ("clouds", "labelled") else "left")
    for result in report.results:
        numbers = [f"{result.clouds:,}", f"{result.labelled:,}"] if result.status == "labelled" else ["", ""]
        table.add_row(result.name, *numbers, _outcome(result))
    # As wide as it needs to be: nothing of a reason is lost in a file or a narrow terminal.
    Console(highlight=False, markup=False, soft_wrap=True, width=max(120, Console().width)).print(table)
    named: dict[str, list[str]] = {}
    for result in report.results:
        for line in (*(f"not read: {damage}" for damage in result.damage), *result.lines):
            named.setdefault(line.strip(), []).append(result.name)
    for line, names in named.items():
        print(f"{short_names(names)}: {line}")


def _outcome(result: "BagResult") -> str:
    if result.status != "labelled":
        return f"{result.status}: {result.reason}"
    parts = ["complete already" if result.kept else "labelled"]
    parts += [f"rejected {count}: {reason}" for reason, count in result.rejected.items()]
    parts += ["part of it not read"] if result.damage else []
    parts += ["labels worthless"] if result.num_spoilt else []
    return ", ".join(parts)


def short_names(names: Sequence[str], most: int = 5) -> str:
    """Names of bags for a sentence."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
