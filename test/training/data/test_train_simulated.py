"""Training on worlds that are simulated meanwhile: killed, it leaves no process and goes on to the same losses."""

import contextlib
import json
import os
import signal
import time
from pathlib import Path

import pytest
from bare_streets import bare_streets
from forked_calls import ForkedCall
from tiny_dataset import TINY_MODEL, write_dataset
from training_runs import results

from training.run.config import load_config
from training.run.loop import train
from training.run.progress import NoProgress

pytest.importorskip("embreex", reason="simulating needs embreex: pip install 'pvd_ros[sim]'")

pytestmark = pytest.mark.usefixtures("without_curves")

_NUM_STEPS, _LAST_STEP = 8, 5
_DEADLINE_S = 120


@pytest.fixture(scope="module")
def overrides(tmp_path_factory):
    dataset = write_dataset(tmp_path_factory.mktemp("drive"), {"08": 1})
    stream = {
        "first_world": 500,
        "sensors": ["vlp16"],
        "scans_per_world": 2,
        "worlds_per_window": 1,
        "passes": 2,
        "num_processes": 2,
    }
    return [
        f"dataset={dataset}",
        "data=simulated",
        f"stream={json.dumps(stream)}",
        f"model={json.dumps(TINY_MODEL)}",
        f"max_steps={_NUM_STEPS}",
        "num_threads=1",
        "batch_size=1",
        "mixing.laser_mix=0.5",
        "mixing.paste_objects=3",
        "checkpoint_every_steps=3",
        "validation.every_steps=0",
    ]


class _KilledAfterAStep(NoProgress):
    """Writes down the processes that this one has started, and kills it."""

    def __init__(self, children_path):
        self._children_path = children_path

    def step(self, step, record, step_s):
        if step == _LAST_STEP:
            self._children_path.write_text(json.dumps(children_of(os.getpid())))
            os.kill(os.getpid(), signal.SIGKILL)


def train_in_bare_streets(run_dir, overrides, progress, resume=False):
    with bare_streets():
        train(load_config(None, overrides), run_dir, resume, progress)


def children_of(parent):
    return [pid for pid, its_parent in running_processes().items() if its_parent == parent]


def running_processes():
    """{pid: pid of its parent} of all but those that ended and only await their parent."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, parent = path.read_text().rpartition(")")[2].split()[:2]
            if state != "Z":
                found[int(path.parent.name)] = int(parent)
    return found


def wait_until(condition):
    deadline = time.monotonic() + _DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux's /proc to see processes")
def test_killed_run_leaves_no_process_and_resumes_to_the_same_losses(overrides, tmp_path):
    whole, broken, children_path = tmp_path / "whole", tmp_path / "broken", tmp_path / "children.json"
    train_in_bare_streets(whole, overrides, NoProgress())
    killed = ForkedCall(train_in_bare_streets, broken, overrides, _KilledAfterAStep(children_path))
    code, output = killed.wait()
    assert code == -signal.SIGKILL, output
    children = json.loads(children_path.read_text())
    assert len(children) >= 2
    wait_until(lambda: not set(children) & set(running_processes()))
    assert (broken / "losses.jsonl").read_text().count("\n") == _LAST_STEP
    train_in_bare_streets(broken, overrides, NoProgress(), resume=True)
    assert results(broken) == results(whole)
    assert [line["step"] for line in results(whole)[0]] == list(range(1, _NUM_STEPS + 1))
