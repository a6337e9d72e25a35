"""Runs stages one after another within a budget of seconds, the steps of a stage side by side. A step that fails or
runs out of time costs only itself."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Of a step's time, at most this many seconds remain for what it does after Ctrl-C.
_GRACE_S = 5.0
_LINES_OF_REASON = 3
# The rest is for the step to finish what it is at, and for Python to end.
_SHARE_TO_USE = 0.9
_POLL_S = 0.05


@dataclass(frozen=True)
class Step:
    name: str
    share: float
    """Of the budget, relative to the shares of the other stages."""
    command: Callable[[float], Sequence[str]]
    """The command, given the seconds in which it should end by itself."""
    most_s: float = float("inf")
    absent: str | None = None
    """Why the step cannot run here; None where it can."""


Stage = Sequence[Step]
Outcome = dict[str, Any]  # "ended": done, failed, out of time or left out; "reason" where it is not done; "seconds"


def run_stages(
    stages: Sequence[Stage],
    budget_s: float,
    logs: Path,
    environment: Mapping[str, str],
    note: Callable[[str, Outcome], object],
) -> None:
    """Runs `stages` in their order; what one leaves of its time the later ones share. What the steps print goes to
    files in `logs`. `note(name, outcome)` is called after each step."""
    end = time.monotonic() + budget_s
    for number in range(len(stages)):
        limit_s = seconds_of(stages[number:], end - time.monotonic())
        _run_side_by_side(stages[number], limit_s, logs, environment, note)


def seconds_of(waiting: Sequence[Stage], left_s: float) -> float:
    """Seconds for the first of the `waiting` stages, of the `left_s` that all of them have."""
    shares = [max((step.share for step in stage if step.absent is None), default=0) for stage in waiting]
    return min(max(step.most_s for step in waiting[0]), left_s * shares[0] / sum(shares)) if shares[0] else 0.0


def _run_side_by_side(
    stage: Stage,
    limit_s: float,
    logs: Path,
    environment: Mapping[str, str],
    note: Callable[[str, Outcome], object],
) -> None:
    running: list[_RunningStep] = []
    try:
        for step in stage:
            if step.absent is not None:
                note(step.name, {"ended": "left out", "reason": step.absent, "seconds": 0.0})
            else:
                running.append(_RunningStep(step, limit_s, logs / f"{step.name}.log", environment))
        while running:
            for each in list(running):
                if (outcome := each.outcome()) is not None:
                    running.remove(each)
                    note(each.step.name, outcome)
            time.sleep(_POLL_S)
    finally:
        for each in running:
            each.kill()


class _RunningStep:
    def __init__(self, step: Step, limit_s: float, log: Path, environment: Mapping[str, str]) -> None:
        self.step, self._limit_s, self._log = step, limit_s, log
        self._grace_s = min(_GRACE_S, limit_s / 8)
        self._start, self._is_late = time.monotonic(), False
        with log.open("w") as output:
            # A group of its own, so that the processes that it starts end with it.
            self._process = subprocess.Popen(
                step.command(_SHARE_TO_USE * (limit_s - self._grace_s)),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                start_new_session=True,
            )

    def outcome(self) -> Outcome | None:
        """How the step has ended; None while it runs. One that is late gets Ctrl-C, then it is killed."""
        seconds = time.monotonic() - self._start
        if self._process.poll() is None and seconds < self._limit_s:
            if seconds >= self._limit_s - self._grace_s and not self._is_late:
                self._is_late = True
                self._signal(signal.SIGINT)
            return None
        self.kill()
        outcome = {"seconds": round(seconds, 1), "limit_s": round(self._limit_s, 1)}
        if self._is_late:
            return {"ended": "out of time", "reason": f"ended after {self._limit_s:.0f} s", **outcome}
        code = self._process.returncode
        if code != 0:
            return {"ended": "failed", "reason": f"exit code {code}: {_last_lines(self._log)}", **outcome}
        return {"ended": "done", **outcome}

    def kill(self) -> None:
        """With all processes that it started and left behind."""
        self._signal(signal.SIGKILL)
        self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)


def _last_lines(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return " / ".join(lines[-_LINES_OF_REASON:])[-600:]
