"""Processes that simulate whole worlds: a seed in, the labelled scans of a drive through its streets out."""

import contextlib
import multiprocessing
import os
import signal
import threading
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass

from pvd_core.borders.errors import UserError


@dataclass(frozen=True)
class World:
    """What one drive saw."""

    scans: list
    """(points float32 (N, 4), class ids uint8 (N,)) pairs of the measured points, intensity in 0..1."""
    objects: list
    """SceneObjects of rare classes."""


class WorldPool:
    """`request(seed)` in any order and as many as wanted, `result(seed, future)` when needed. Processes start with the
    first request; none outlives this one, however it ends."""

    def __init__(self, num_processes, sensors, worlds, num_scans, interval_s):
        self._num_processes, self._settings = num_processes, (tuple(sensors), tuple(worlds), num_scans, interval_s)
        self._context = multiprocessing.get_context("spawn")
        self._pool = self._writer = None
        self._is_closed = False

    def request(self, seed):
        """A future of the World."""
        if self._is_closed:
            raise RuntimeError("the pool is closed")
        if self._pool is None:
            reader, self._writer = self._context.Pipe(duplex=False)
            self._pool = ProcessPoolExecutor(self._num_processes, self._context, _enter, (reader,))
        try:
            return self._pool.submit(_simulated, seed, *self._settings)
        except BrokenProcessPool as error:
            raise _died(seed) from error

    def close(self):
        """Ends the processes at once; who still waits for a World gets an error."""
        self._is_closed = True
        if self._pool is not None:
            self._writer.close()
            self._pool.shutdown(cancel_futures=True)
            self._pool = None


def result(seed, future):
    """The World of a future; waits for it. What went wrong is a UserError that names the seed."""
    try:
        return future.result()
    except BrokenProcessPool as error:
        raise _died(seed) from error
    except UserError as error:
        raise UserError(f"world {seed}: {error}") from error
    except Exception as error:
        raise UserError(
            f"simulating world {seed} failed: {type(error).__name__}: {error}; resume to try again, or choose another "
            "stream.first_world for a new run"
        ) from error


def _died(seed):
    return UserError(
        f"a simulating process ended while world {seed} was due, most likely for lack of memory; resume with fewer "
        "stream.num_processes"
    )


def _enter(reader):
    """Ctrl-C reaches every process of a terminal: the parent alone answers it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, args=(reader,), daemon=True).start()


def _end_with_parent(reader):
    # Nothing is ever written: the pipe ends when the parent closes it or is killed.
    with contextlib.suppress(EOFError):
        reader.recv()
    os._exit(1)


def _simulated(seed, sensors, worlds, num_scans, interval_s):
    # Here, so that only these processes need the ray caster.
    from training.simulate import Drive
    from training.simulate.sensor.sensors import sensor_named

    sensor = sensor_named(sensors[seed % len(sensors)])
    kind = worlds[seed // len(sensors) % len(worlds)]
    world = World([], [])
    for frame in Drive(seed, num_scans, sensor.name, interval_s, jitter=True, world=kind).frames():
        _add_scan(world, frame, sensor.intensity_max)
    return world


def _add_scan(world, frame, intensity_max):
    from pvd_core.taxonomy import class_ids_from_raw
    from training.data.augmentation.objects import objects_in
    from training.data.dataset import usable_points

    points, class_ids, instances = usable_points(frame.points, class_ids_from_raw(frame.labels), frame.labels >> 16)
    # KITTI's scale is 0..1 already, others send a byte.
    points[:, 3] /= max(1.0, intensity_max)
    world.scans.append((points, class_ids))
    world.objects.extend(objects_in(points, class_ids, instances))
