"""Training runs in processes of their own, which may be killed after a step."""

import json
import signal
import subprocess
import sys
import time

# Signals itself: another process might see the step only when the run has ended.
_TRAIN = """
import os, sys
from training.run.config import load_config
from training.run.loop import train
from training.run.progress import NoProgress
run_dir, resume, step_of_signal, signal, *overrides = sys.argv[1:]

class Signalling(NoProgress):
    def step(self, step, record, step_s):
        if step == int(step_of_signal):
            os.kill(os.getpid(), int(signal))

summary = train(load_config(None, overrides), run_dir, resume == "resume", Signalling())
print(summary["stopped"])
"""
_DEADLINE_S = 120


def start(run_dir, overrides, project_root, resume=False, signal_at=(0, 0)):
    """A run in a process of its own, which sends itself a signal after a step: `signal_at` is (step, signal)."""
    arguments = [str(run_dir), "resume" if resume else "new", *map(str, map(int, signal_at)), *overrides]
    command = [sys.executable, "-c", _TRAIN, *arguments]
    return subprocess.Popen(command, cwd=project_root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process, stopped="done"):
    output, errors = process.communicate(timeout=_DEADLINE_S)
    assert (process.returncode, output.strip()) == (0, stopped), errors


def wait_until(process, condition):
    deadline = time.monotonic() + _DEADLINE_S
    while not condition():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.001)


def kill_after_step(step, run_dir, overrides, project_root, resume=False):
    """A run that is killed once a step is logged, before it is validated or saved."""
    process = start(run_dir, overrides, project_root, resume, (step, signal.SIGKILL))
    _, errors = process.communicate(timeout=_DEADLINE_S)
    assert process.returncode == -signal.SIGKILL, errors
    assert num_lines(run_dir / "losses.jsonl") >= step


def num_lines(path):
    return path.read_text().count("\n") if path.exists() else 0


def results(run_dir):
    """All that is logged but for the clock."""
    lines = [json.loads(line) for line in (run_dir / "losses.jsonl").read_text().splitlines()]
    losses = [{key: value for key, value in line.items() if not key.endswith("_ms")} for line in lines]
    return losses, (run_dir / "validation.jsonl").read_text()
