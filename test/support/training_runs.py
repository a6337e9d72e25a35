"""Training runs in processes of their own, which may be killed after a step."""

import json
import os
import signal
from unittest import mock

from forked_calls import ForkedCall

from training.run.config import load_config
from training.run.loop import train
from training.run.progress import NoProgress


class _Signalling(NoProgress):
    """Sends its own process a signal after a step: another process might see the step only when the run has ended."""

    def __init__(self, step, number):
        self._step, self._number = step, number

    def step(self, step, record, step_s):
        if step == self._step:
            os.kill(os.getpid(), self._number)


def _train(run_dir, overrides, project_root, resume, signal_at):
    os.chdir(project_root)
    # Its curves take as long as some ten steps.
    with mock.patch("training.run.loop.draw_curves"):
        summary = train(load_config(None, overrides), run_dir, resume, _Signalling(*signal_at))
    print("stopped:", summary["stopped"])


def start(run_dir, overrides, project_root, resume=False, signal_at=(0, 0)):
    """A run in a process of its own, which sends itself a signal after a step: `signal_at` is (step, signal)."""
    return ForkedCall(_train, run_dir, overrides, project_root, resume, signal_at)


def finish(run, stopped="done"):
    code, output = run.wait()
    assert code == 0, output
    assert f"stopped: {stopped}\n" in output


def kill_after_step(step, run_dir, overrides, project_root, resume=False):
    """A run that is killed once a step is logged, before it is validated or saved."""
    code, output = start(run_dir, overrides, project_root, resume, (step, signal.SIGKILL)).wait()
    assert code == -signal.SIGKILL, output
    assert num_lines(run_dir / "losses.jsonl") >= step


def num_lines(path):
    return path.read_text().count("\n") if path.exists() else 0


def results(run_dir):
    """All that is logged but for the clock."""
    lines = [json.loads(line) for line in (run_dir / "losses.jsonl").read_text().splitlines()]
    losses = [{key: value for key, value in line.items() if not key.endswith("_ms")} for line in lines]
    return losses, (run_dir / "validation.jsonl").read_text()
