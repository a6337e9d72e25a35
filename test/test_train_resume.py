"""A run killed with SIGKILL and resumed gives the losses of an unbroken run, bit for bit."""

import json
import signal
import subprocess
import sys
import time

import pytest
from tiny_dataset import TINY_MODEL, write_dataset

# Signals itself: another process might see the step only when the run has ended.
_TRAIN = """
import os, sys
from training.config import load_config
from training.loop import train
from training.progress import NoProgress
run_dir, resume, step_of_signal, signal, *overrides = sys.argv[1:]

class Signalling(NoProgress):
    def step(self, step, record, step_s):
        if step == int(step_of_signal):
            os.kill(os.getpid(), int(signal))

summary = train(load_config(None, overrides), run_dir, resume == "resume", Signalling())
print(summary["stopped"])
"""
_NUM_STEPS = 40
_DEADLINE_S = 120


@pytest.fixture(scope="module")
def overrides(tmp_path_factory):
    dataset = write_dataset(tmp_path_factory.mktemp("drive"), {"00": 5, "08": 1})
    return [
        f"dataset={dataset}",
        f"model={json.dumps(TINY_MODEL)}",
        f"max_steps={_NUM_STEPS}",
        "num_threads=1",
        "num_workers=1",
        "ema_decay=0.9",
        "accumulate=2",
        "checkpoint_every_steps=5",
        "validation.every_steps=7",
        "augmentation.drop_points=0.2",
        "mixing.laser_mix=0.3",
        "mixing.polar_mix=0.3",
        "mixing.paste_objects=2",
    ]


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


@pytest.fixture(scope="module")
def unbroken(overrides, tmp_path_factory, project_root):
    run_dir = tmp_path_factory.mktemp("runs") / "unbroken"
    finish(start(run_dir, overrides, project_root))
    return run_dir


def test_run_killed_again_and_again_gives_the_same_losses(overrides, unbroken, tmp_path, project_root):
    run_dir = tmp_path / "killed"
    process = start(run_dir, overrides, project_root)
    # Before the first step; right after a validation that no checkpoint has seen; between two checkpoints.
    wait_until(process, (run_dir / "config.yaml").exists)
    process.kill()
    process.communicate()
    for step in (15, 33):
        kill_after_step(step, run_dir, overrides, project_root, resume=True)
    finish(start(run_dir, overrides, project_root, resume=True))
    losses, validations = results(run_dir)
    assert [line["step"] for line in losses] == list(range(1, _NUM_STEPS + 1))
    assert (losses, validations) == results(unbroken)
    for name in ("last.safetensors", "best.safetensors"):
        assert _tensors(run_dir / name) == _tensors(unbroken / name)


def test_interrupted_run_stops_with_its_state_and_goes_on_the_same(overrides, unbroken, tmp_path, project_root):
    run_dir = tmp_path / "interrupted"
    finish(start(run_dir, overrides, project_root, signal_at=(3, signal.SIGINT)), "interrupted")
    assert num_lines(run_dir / "losses.jsonl") == 3
    finish(start(run_dir, overrides, project_root, resume=True))
    assert results(run_dir) == results(unbroken)


def _tensors(path):
    """The bytes of a safetensors file after its header, which names the commit and so may differ."""
    content = path.read_bytes()
    return content[8 + int.from_bytes(content[:8], "little") :]
