"""Runs steps one after another within a budget of seconds. A step that fails or runs out of time costs only itself."""

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


@dataclass(frozen=True)
class Step:
    name: str
    share: float
    """Of the budget, relative to the shares of the other steps."""
    command: Callable[[float], Sequence[str]]
    """The command, given the seconds in which it should end by itself."""
    most_s: float = float("inf")
    absent: str | None = None
    """Why the step cannot run here; None where it can."""


Outcome = dict[str, Any]  # "ended": done, failed, out of time or left out; "reason" where it is not done; "seconds"


def run_steps(
    steps: Sequence[Step],
    budget_s: float,
    logs: Path,
    environment: Mapping[str, str],
    note: Callable[[str, Outcome], object],
) -> None:
    """Runs `steps` in their order; what one leaves of its time the later ones share. What they print goes to files in
    `logs`. `note(name, outcome)` is called after each step."""
    end = time.monotonic() + budget_s
    for number, step in enumerate(steps):
        limit_s = seconds_of(steps[number:], end - time.monotonic())
        if step.absent is not None:
            note(step.name, {"ended": "left out", "reason": step.absent, "seconds": 0.0})
        else:
            note(step.name, _run(step, limit_s, logs / f"{step.name}.log", environment))


def seconds_of(waiting: Sequence[Step], left_s: float) -> float:
    """Seconds for the first of the `waiting` steps, of the `left_s` that all of them have."""
    shares = sum(step.share for step in waiting if step.absent is None)
    return min(waiting[0].most_s, left_s * waiting[0].share / shares) if shares else 0.0


def _run(step: Step, limit_s: float, log: Path, environment: Mapping[str, str]) -> Outcome:
    grace_s = min(_GRACE_S, limit_s / 8)
    start = time.monotonic()
    with log.open("w") as output:
        # A group of its own, so that the processes that it starts end with it.
        process = subprocess.Popen(
            step.command(_SHARE_TO_USE * (limit_s - grace_s)),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            start_new_session=True,
        )
        try:
            is_late = not _ends(process, limit_s - grace_s)
            if is_late:
                _signal_group(process, signal.SIGINT)
                _ends(process, grace_s)
        finally:
            _signal_group(process, signal.SIGKILL)
            process.wait()
    outcome = {"seconds": round(time.monotonic() - start, 1), "limit_s": round(limit_s, 1)}
    if is_late:
        return {"ended": "out of time", "reason": f"ended after {limit_s:.0f} s", **outcome}
    if process.returncode != 0:
        return {"ended": "failed", "reason": f"exit code {process.returncode}: {_last_lines(log)}", **outcome}
    return {"ended": "done", **outcome}


def _ends(process: subprocess.Popen[bytes], seconds: float) -> bool:
    try:
        process.wait(max(seconds, 0))
    except subprocess.TimeoutExpired:
        return False
    return True


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _last_lines(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return " / ".join(lines[-_LINES_OF_REASON:])[-600:]
