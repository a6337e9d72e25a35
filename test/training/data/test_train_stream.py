"""Worlds simulated while training: the same scans whoever asks in whatever order, bounded, and never left running."""

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from concurrent.futures import Future

import numpy as np
import pytest
from bare_streets import bare_streets

from pvd_core.borders.errors import UserError
from pvd_core.taxonomy import SEMANTICKITTI
from training.data import world_pool
from training.data.example import Example
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
    with bare_streets(), contextlib.closing(SimulatedStream(_CONFIG, seed=3)) as stream:
        yield stream


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
    return all(np.array_equal(a, b) for a, b in zip(vars(first).values(), vars(second).values(), strict=True))


@pytest.mark.parametrize("streets", [bare_streets, pytest.param(contextlib.nullcontext, marks=pytest.mark.slow)])
def test_scans_are_those_of_the_simulator(streets):
    with streets(), contextlib.closing(SimulatedStream(_CONFIG, seed=3)) as stream:
        (seed, number), scan = stream.identity(0), stream.scan(0)
        assert seed == 500
        frame = list(Drive(500, 2, "vlp16", _CONFIG.interval_s, jitter=True).frames())[number // 2]
    assert scan.points[:, :3] == pytest.approx(frame.points[:, :3])
    # VLP-16 reports a byte.
    assert scan.points[:, 3] * 255 == pytest.approx(frame.points[:, 3], abs=1e-3)
    assert (scan.labels == SEMANTICKITTI.class_ids_from_raw(frame.labels)).all()
    assert (scan.instances == frame.labels >> 16).all()
    assert scan.is_current.all()


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
    with contextlib.closing(SimulatedStream(_CONFIG, seed=3)) as other:
        for position in (5, 1):
            assert is_same(other.scan(position), first_scans[position])


def test_simulation_is_at_most_a_window_ahead_and_old_windows_are_forgotten(monkeypatch):
    requested = []

    def request(_pool, seed):
        requested.append(seed)
        future = Future()
        future.set_result(World([Example.of_scan(np.zeros((1, 4), np.float32), np.zeros(1, np.uint8))] * 2, []))
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
    labels = np.concatenate([scan.labels for scan in own])
    for seed in range(8):
        item = stream.objects(4).draw(np.random.default_rng(seed))
        assert item.class_id in labels
        assert any((item.points[0] == scan.points).all(axis=1).any() for scan in own)


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
    pool = WorldPool(1, ["vlp17"], ["mixed"], 1, 1.0, SEMANTICKITTI)
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
    pool = WorldPool(1, ["vlp16"], ["mixed"], 1, 1.0, SEMANTICKITTI)
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
    pool = WorldPool(1, ["vlp16"], ["mixed"], 1, 1.0, SEMANTICKITTI)
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


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # how the stand-in leaves
def test_a_process_ends_while_it_simulates_but_not_while_it_sends_its_world(monkeypatch):
    """Half a world would let the parent wait for the rest for ever."""
    reader, writer = multiprocessing.Pipe(duplex=False)
    ended = threading.Event()

    def leave(_code):
        ended.set()
        raise SystemExit

    monkeypatch.setattr(world_pool.os, "_exit", leave)
    watch = threading.Thread(target=world_pool._end_with_parent, args=(reader, os.getppid()), daemon=True)
    watch.start()
    writer.close()
    assert not ended.wait(0.2)
    monkeypatch.setattr(world_pool, "_is_simulating", True)
    assert ended.wait(_DEADLINE_S)
    watch.join()
