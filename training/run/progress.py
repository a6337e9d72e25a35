"""What a person sees of a training run: one live line in a terminal, a line every ten seconds elsewhere."""

import collections
import resource
import time

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

_SECONDS_BETWEEN_LINES = 10.0
_NUM_STEPS_AVERAGED = 50


class NoProgress:
    """Shows nothing."""

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        pass

    def note(self, text):
        pass

    def start(self, step, num_steps):
        pass

    def step(self, step, record, step_s):
        pass

    def validating(self, num_done, num_all):
        pass

    def validated(self, step, metrics, is_best):
        pass


class ConsoleProgress(NoProgress):
    """Rate, time left, share of the time spent waiting for data, memory, losses; a table of IoU at each validation."""

    def __init__(self, console=None):
        self.console = console or Console()
        columns = (BarColumn(bar_width=20), TextColumn("{task.description}"))
        self._bar = Progress(*columns, console=self.console, transient=True, refresh_per_second=2)
        self._task = None
        self._recent = collections.deque(maxlen=_NUM_STEPS_AVERAGED)
        self._last_line = float("-inf")
        self._num_steps = 0

    def __enter__(self):
        if self.console.is_terminal:
            self._bar.start()
        return self

    def __exit__(self, *exc_info):
        self._bar.stop()

    def note(self, text):
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def start(self, step, num_steps):
        self._num_steps = num_steps
        self._task = self._bar.add_task("starting", total=num_steps, completed=step)

    def step(self, step, record, step_s):
        self._recent.append((time.monotonic(), step_s, record["data_wait_ms"] / 1e3, record["loss"]))
        text = self._line(step)
        self._bar.update(self._task, completed=step, description=text)
        self._print_line(text, is_due=step == self._num_steps)

    def validating(self, num_done, num_all):
        text = f"validating {num_done}/{num_all}"
        self._bar.update(self._task, description=text)
        self._print_line(text, is_due=False)

    def validated(self, step, metrics, is_best):
        best = ", the best so far" if is_best else ""
        title = (
            f"step {step}: mIoU {metrics['miou']:.4f} over 19 classes, {metrics['miou_present']:.4f} over those present"
        )
        self.note(f"{title}{best}")
        self.console.print(iou_table(metrics["iou"]))

    def _line(self, step):
        step_s = sum(item[1] for item in self._recent) / len(self._recent)
        wait_s = sum(item[2] for item in self._recent) / len(self._recent)
        loss = sum(item[3] for item in self._recent) / len(self._recent)
        # Validations and checkpoints count for the time left: the wall clock between steps has them.
        wall_s = step_s
        if len(self._recent) > 1:
            wall_s = (self._recent[-1][0] - self._recent[0][0]) / (len(self._recent) - 1)
        left_s = wall_s * (self._num_steps - step)
        return (
            f"step {step}/{self._num_steps}  loss {loss:.4f}  {1 / step_s:.2f} steps/s  "
            f"left {_duration(left_s)}  data wait {wait_s / step_s:.0%}  {_memory()}"
        )

    def _print_line(self, text, is_due):
        now = time.monotonic()
        if not self.console.is_terminal and (is_due or now - self._last_line >= _SECONDS_BETWEEN_LINES):
            self._last_line = now
            self.note(text)


def iou_table(iou):
    """A rich table of {class: IoU}, three classes a row."""
    table = Table(show_header=False, box=None, padding=(0, 1))
    cells = [cell for name, value in iou.items() for cell in (name, f"{value:.4f}")]
    for start in range(0, len(cells), 6):
        table.add_row(*cells[start : start + 6])
    return table


def _duration(seconds):
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes:02d} min" if hours else (f"{minutes} min" if minutes else f"{seconds:.0f} s")


def _memory():
    # Linux reports kilobytes.
    text = f"peak RAM {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GB"
    if torch.cuda.is_available():
        text += f"  GPU {torch.cuda.max_memory_allocated() / 2**30:.1f} GB"
    return text
