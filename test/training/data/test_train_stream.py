"""Worlds simulated while training: the same scans whoever asks in whatever order, bounded, and never left running."""

import contextlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import pytest
from tiny_dataset import TINY_MODEL, write_dataset

from pvd_core.borders.errors import UserError
from pvd_core.taxonomy import class_ids_from_raw
from training.data.simulated_stream import SimulatedStream, StreamConfig
from training.data.world_pool import World, WorldPool, result
from training.simulate import Drive

pytest.importorskip("embreex", reason="simulating needs embreex: pip install 'pvd_ros[sim]'")

_DEADLINE_S = 120
_CONFIG = StreamConfig(
    first_world=500, sensors=("vlp16",), scans_per_world=2, worlds_per_window=1, passes=2, num_processes=2
)


@pytest.fixture(scope="module")
def stream():
    stream = SimulatedStream(_CONFIG, seed=3)
    yield stream
    stream.close()


@pytest.fixture(scope="module")
def first_scans(stream):
    """The scans at positions 0 to 5: two passes over the first world, one over the second."""
    return [stream.scan(position) for position in range(6)]


def wait_until(condition):
    deadline = time.monotonic() + _DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_same(first, second):
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_scans_are_those_of_the_simulator(stream, first_scans):
    seed, number = stream.identity(0)
    assert seed == 500
    frame = list(Drive(500, 2, "vlp16", _CONFIG.interval_s, jitter=True).frames())[number // 2]
    points, class_ids = first_scans[0]
    assert points[:, :3] == pytest.approx(frame.points[:, :3])
    # VLP-16 reports a byte.
    assert points[:, 3] * 255 == pytest.approx(frame.points[:, 3], abs=1e-3)
    assert (class_ids == class_ids_from_raw(frame.labels)).all()


def test_every_scan_of_a_window_comes_once_in_each_pass_and_then_the_next_worlds_follow(stream, first_scans):
    identities = [stream.identity(position) for position in range(12)]
    assert len(set(identities)) == 12
    assert [seed for seed, _ in identities] == [500] * 4 + [501] * 4 + [502] * 4
    names = [stream.name(position) for position in range(4)]
    assert sorted(names[:2]) == sorted(names[2:]) == ["world 500 scan 0", "world 500 scan 1"]
    for position in range(2):
        again = 2 + names[2:].index(names[position])
        assert is_same(first_scans[position], first_scans[again])
    assert stream.epoch_of(6) == 1.5


def test_scan_depends_on_its_position_only(first_scans):
    other = SimulatedStream(_CONFIG, seed=3)
    try:
        for position in (5, 1):
            assert is_same(other.scan(position), first_scans[position])
    finally:
        other.close()


def test_simulation_is_at_most_a_window_ahead_and_old_windows_are_forgotten(monkeypatch):
    requested = []

    def request(_pool, seed):
        requested.append(seed)
        future = Future()
        future.set_result(World([(np.zeros((1, 4), np.float32), np.zeros(1, np.uint8))] * 2, []))
        return future

    monkeypatch.setattr(WorldPool, "request", request)
    with contextlib.closing(SimulatedStream(_CONFIG, seed=3)) as stream:
        stream.scan(0)
        assert requested == [500, 501]
        stream.scan(8)
        assert requested == [500, 501, 502, 503]
        # World 501, of the window before, is still there; world 500 has to be simulated again.
        stream.scan(4)
        assert requested == [500, 501, 502, 503]
        stream.scan(0)
        assert requested == [500, 501, 502, 503, 500]


def test_partner_and_objects_are_of_the_same_window(stream, first_scans):
    partners = [stream.partner(4, np.random.default_rng(seed)) for seed in range(8)]
    own = [stream.scan(position) for position in (4, 5)]
    assert all(any(is_same(partner, scan) for scan in own) for partner in partners)
    labels = np.concatenate([class_ids for _, class_ids in own])
    for seed in range(8):
        item = stream.objects(4).draw(np.random.default_rng(seed))
        assert item.class_id in labels
        assert any((item.points[0] == points).all(axis=1).any() for points, _ in own)


def test_settings_that_change_scans_change_the_fingerprint_and_others_do_not():
    def fingerprint(seed=3, **changes):
        return SimulatedStream(StreamConfig(**{**vars(_CONFIG), **changes}), seed).fingerprint()

    assert fingerprint() == fingerprint(num_processes=7)
    others = [fingerprint(first_world=1), fingerprint(passes=1), fingerprint(sensors=("xt32",)), fingerprint(seed=4)]
    others.append(fingerprint(worlds=("city",)))
    assert len({fingerprint(), *others}) == 6


def test_stream_of_mixed_worlds_is_known_again_from_before_there_were_others():
    before = "c30bdbe0600980dbd15f3c18a6e10985ee7119ea5be219a3449c32eb3a47bcad"
    assert SimulatedStream(_CONFIG, 3).fingerprint() == before


def test_failure_in_a_world_names_its_seed():
    pool = WorldPool(1, ["vlp17"], ["mixed"], 1, 1.0)
    try:
        with pytest.raises(UserError, match=r"world 77: unknown sensor 'vlp17'; did you mean 'vlp16'"):
            result(77, pool.request(77))
    finally:
        pool.close()


def busy_future(pool, seed):
    """The future of a world that a process is at."""
    # The process has started and is at the next one at once.
    result(0, pool.request(0))
    future = pool.request(seed)
    wait_until(future.running)
    return future


def test_death_of_a_simulating_process_names_the_world_that_was_due():
    before = set(multiprocessing.active_children())
    pool = WorldPool(1, ["vlp16"], ["mixed"], 1, 1.0)
    try:
        future = busy_future(pool, 78)
        for process in set(multiprocessing.active_children()) - before:
            os.kill(process.pid, signal.SIGKILL)
        with pytest.raises(UserError, match="ended while world 78 was due"):
            result(78, future)
    finally:
        pool.close()


def test_closing_ends_the_processes_in_the_middle_of_a_world():
    before = set(multiprocessing.active_children())
    pool = WorldPool(1, ["vlp16"], ["mixed"], 1, 1.0)
    future = busy_future(pool, 79)
    pool.close()
    assert set(multiprocessing.active_children()) <= before
    with pytest.raises(UserError, match="world 79"):
        result(79, future)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sensors": ("hdl64",)}, "did you mean 'hdl64e'"),
        ({"passes": 0}, "stream.passes is 0: expected more than 0"),
        ({"sensors": ()}, "stream.sensors is empty"),
        ({"worlds": ()}, "stream.worlds is empty"),
        ({"worlds": ("ctiy",)}, "unknown world 'ctiy'; did you mean 'city'"),
        ({"interval_s": 60.0}, "stream.interval_s is 60; expected 0.01 to 10 seconds"),
        ({"first_world": -1}, "stream.first_world is -1"),
    ],
)
def test_impossible_stream_settings_are_refused(changes, message):
    with pytest.raises(UserError, match=message):
        SimulatedStream(StreamConfig(**changes), 0)


_TRAIN = """
import json, sys
from training.run.config import load_config
from training.run.loop import train
if __name__ == "__main__":
    run_dir, resume, *overrides = sys.argv[1:]
    train(load_config(None, overrides), run_dir, resume == "resume")
"""
_NUM_STEPS = 10


@pytest.fixture(scope="module")
def overrides(tmp_path_factory):
    dataset = write_dataset(tmp_path_factory.mktemp("drive"), {"08": 1})
    stream = {key: list(value) if isinstance(value, tuple) else value for key, value in vars(_CONFIG).items()}
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
        "checkpoint_every_steps=2",
        "validation.every_steps=0",
    ]


def start(run_dir, overrides, project_root, resume=False):
    command = [sys.executable, "-c", _TRAIN, str(run_dir), "resume" if resume else "new", *overrides]
    return subprocess.Popen(command, cwd=project_root, stderr=subprocess.PIPE, text=True)


def losses(run_dir):
    path = run_dir / "losses.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return [{k: v for k, v in json.loads(line).items() if not k.endswith("_ms")} for line in lines if line]


def children_of(parent):
    return [pid for pid, (_, its_parent) in running_processes().items() if its_parent == parent]


def running_processes():
    """{pid: (state, pid of its parent)} of all but those that ended and only await their parent."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, parent = path.read_text().rpartition(")")[2].split()[:2]
            if state != "Z":
                found[int(path.parent.name)] = state, int(parent)
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux's /proc to see processes")
def test_killed_run_leaves_no_process_and_resumes_to_the_same_losses(overrides, tmp_path, project_root):
    whole = start(tmp_path / "whole", overrides, project_root)
    assert whole.wait(_DEADLINE_S) == 0, whole.stderr.read()
    broken = start(tmp_path / "broken", overrides, project_root)
    # Soon after, it waits for the third world.
    wait_until(lambda: len(losses(tmp_path / "broken")) >= 3 or broken.poll() is not None)
    children = children_of(broken.pid)
    broken.kill()
    broken.wait()
    assert len(children) >= 2
    wait_until(lambda: not set(children) & set(running_processes()))
    assert len(losses(tmp_path / "broken")) < _NUM_STEPS
    resumed = start(tmp_path / "broken", overrides, project_root, resume=True)
    assert resumed.wait(_DEADLINE_S) == 0, resumed.stderr.read()
    assert len(losses(tmp_path / "whole")) == _NUM_STEPS
    assert losses(tmp_path / "broken") == losses(tmp_path / "whole")
