"""What the user sees of a training run: one live line in a terminal, elsewhere a line every ten seconds."""

import collections
import resource
import statistics
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

_SECONDS_BETWEEN_LINES = 10.0
_NUM_STEPS_AVERAGED = 50


class NoProgress:
    """Shows nothing; the base of what shows something."""

    def __enter__(self) -> "NoProgress":
        return self

    def __exit__(self, *exc_info: object) -> None:
        pass

    def note(self, text: str) -> None:
        """Shows a line."""

    def start(self, step: int, num_steps: int) -> None:
        """`step` steps of `num_steps` are done already."""

    def step(self, step: int, record: Mapping[str, float], step_s: float) -> None:
        """Step number `step` is done and took `step_s` seconds. `record`: "loss", "data_wait_ms" and more."""

    def checking(self, num_done: int, num_all: int) -> None:
        """So many scans of the data set are checked."""

    def measuring_norms(self, num_done: int, num_all: int) -> None:
        """So many plain scans gave the norms their statistics."""

    def validating(self, num_done: int, num_all: int) -> None:
        """So many scans of a validation are done."""

    def validated(self, step: int, metrics: Mapping[str, Any], is_best: bool) -> None:
        """The weights after `step` steps have these metrics. `is_best`: better than those of all steps before."""


class ConsoleProgress(NoProgress):
    """Shows rate, time left, share of the time spent waiting for data, memory and loss; at each validation a table of
    the IoU of each class."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console()
        columns = (BarColumn(bar_width=20), TextColumn("{task.description}"))
        self._bar = Progress(*columns, console=self.console, transient=True, refresh_per_second=2)
        self._task = self._bar.add_task("starting", total=None, visible=False)
        self._recent: collections.deque[_RecentStep] = collections.deque(maxlen=_NUM_STEPS_AVERAGED)
        self._last_line = float("-inf")
        self._num_steps = 0

    def __enter__(self) -> "ConsoleProgress":
        if self.console.is_terminal:
            self._bar.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._bar.stop()

    def note(self, text: str) -> None:
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def start(self, step: int, num_steps: int) -> None:
        self._num_steps = num_steps
        self._bar.update(self._task, total=num_steps, completed=step, visible=True)

    def step(self, step: int, record: Mapping[str, float], step_s: float) -> None:
        self._recent.append(_RecentStep(time.monotonic(), step_s, record["data_wait_ms"] / 1e3, record["loss"]))
        text = self._line(step)
        self._bar.update(self._task, completed=step, description=text)
        self._print_line(text, is_due=step == self._num_steps)

    def checking(self, num_done: int, num_all: int) -> None:
        # The live line is not there yet, so a terminal gets lines too; a short check says nothing.
        now = time.monotonic()
        if num_done == 1:
            self._last_line = now
        elif now - self._last_line >= _SECONDS_BETWEEN_LINES:
            self._last_line = now
            self.note(f"checking the data set: {num_done:,} of {num_all:,} scans")

    def measuring_norms(self, num_done: int, num_all: int) -> None:
        text = f"measuring the norms on plain scans {num_done}/{num_all}"
        self._bar.update(self._task, description=text)
        self._print_line(text, is_due=False)

    def validating(self, num_done: int, num_all: int) -> None:
        text = f"validating {num_done}/{num_all}"
        self._bar.update(self._task, description=text)
        self._print_line(text, is_due=False)

    def validated(self, step: int, metrics: Mapping[str, Any], is_best: bool) -> None:
        best = ", the best so far" if is_best else ""
        self.note(
            f"step {step}: mean IoU {100 * metrics['miou']:.1f} % over {len(metrics['iou'])} classes, "
            f"{100 * metrics['miou_present']:.1f} % over those present{best}"
        )
        self.console.print(iou_table(metrics["iou"]))

    def _line(self, step: int) -> str:
        step_s = statistics.fmean(recent.step_s for recent in self._recent)
        wait_s = statistics.fmean(recent.wait_s for recent in self._recent)
        loss = statistics.fmean(recent.loss for recent in self._recent)
        # The time left is estimated from the clock, which includes validations and checkpoints between steps.
        wall_s = step_s
        if len(self._recent) > 1:
            wall_s = (self._recent[-1].ended_at - self._recent[0].ended_at) / (len(self._recent) - 1)
        left_s = wall_s * (self._num_steps - step)
        return (
            f"step {step}/{self._num_steps}  loss {loss:.4f}  {1 / step_s:.2f} steps/s  "
            f"left {_duration(left_s)}  data wait {wait_s / step_s:.0%}  {_memory()}"
        )

    def _print_line(self, text: str, is_due: bool) -> None:
        now = time.monotonic()
        if not self.console.is_terminal and (is_due or now - self._last_line >= _SECONDS_BETWEEN_LINES):
            self._last_line = now
            self.note(text)


class _RecentStep(NamedTuple):
    ended_at: float
    """On the clock of time.monotonic."""
    step_s: float
    wait_s: float
    loss: float


def iou_table(iou: Mapping[str, float]) -> Table:
    """A table of {class: IoU}, as "car 61.0 %", three classes a row. Classes that round to 0 % share the last row."""
    table = Table(show_header=False, box=None, padding=(0, 1))
    texts = {name: f"{100 * value:.1f} %" for name, value in iou.items()}
    zeros = [name for name, text in texts.items() if text == "0.0 %"]
    cells = [cell for name, text in texts.items() if name not in zeros for cell in (name, text)]
    if zeros:
        cells += [f"{len(zeros)} other classes" if len(zeros) > 1 else zeros[0], "0 %"]
    for start in range(0, len(cells), 6):
        table.add_row(*cells[start : start + 6])
    return table


def _duration(seconds: float) -> str:
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes:02d} min" if hours else (f"{minutes} min" if minutes else f"{seconds:.0f} s")


def _memory() -> str:
    # On Linux ru_maxrss is in kilobytes.
    text = f"peak RAM {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GB"
    if torch.cuda.is_available():
        text += f"  GPU {torch.cuda.max_memory_allocated() / 2**30:.1f} GB"
    return text
