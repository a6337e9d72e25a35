"""Processes that simulate whole worlds: from a seed to the labelled scans of a drive through its streets."""

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

from pvd_core.borders.errors import UserError
from pvd_core.runtime.processes import without_signals
from pvd_core.taxonomy import Taxonomy
from training.data.augmentation.objects import SceneObject
from training.data.example import Example

if TYPE_CHECKING:
    from training.simulate import Frame


@dataclass(frozen=True)
class World:
    """What one drive saw."""

    scans: list[Example]
    """The measured points of each scan; intensity in 0..1."""
    objects: list[SceneObject]
    """Objects of rare classes."""


class WorldPool:
    """Worlds are asked for with `request(seed)`, in any order and number, and fetched with `result(seed, future)`.

    The processes start with the first request and end with the process that made the pool, however that one ends.
    """

    def __init__(
        self,
        num_processes: int,
        sensors: Sequence[str],
        worlds: Sequence[str],
        num_scans: int,
        interval_s: float,
        taxonomy: Taxonomy,
    ) -> None:
        """`sensors` and kinds of `worlds` are taken in turns, by seed; `num_scans` of a world, `interval_s` apart, with
        labels of `taxonomy`."""
        self._num_processes = num_processes
        self._settings = tuple(sensors), tuple(worlds), num_scans, interval_s, taxonomy
        self._context = multiprocessing.get_context("spawn")
        self._pool: ProcessPoolExecutor | None = None
        self._writer: Connection | None = None
        self._is_closed = False

    def request(self, seed: int) -> Future[World]:
        """A future of the World. RuntimeError once the pool is closed, UserError where a process has died."""
        if self._is_closed:
            raise RuntimeError("the pool is closed")
        if self._pool is None:
            reader, self._writer = self._context.Pipe(duplex=False)
            self._pool = ProcessPoolExecutor(self._num_processes, self._context, _enter, (reader,))
        try:
            with without_signals(signal.SIGINT):
                return self._pool.submit(_simulated, seed, *self._settings)
        except BrokenProcessPool as error:
            raise _died(seed) from error

    def close(self) -> None:
        """Ends the processes at once; who still waits for a World gets an error."""
        self._is_closed = True
        if self._writer is not None:
            self._writer.close()
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None


def result(seed: int, future: Future[World]) -> World:
    """Waits for the World of a future. Whatever went wrong becomes a UserError that names the seed."""
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


def _died(seed: int) -> UserError:
    return UserError(
        f"a simulating process ended while world {seed} was due, most likely for lack of memory; resume with fewer "
        "stream.num_processes"
    )


# Held by a process that leaves a simulation, and by one that ends while it simulates.
_leaving = threading.Lock()
_is_simulating = False


def _enter(reader: Connection) -> None:
    """First thing in a new process."""
    threading.Thread(target=_end_with_parent, args=(reader, os.getppid()), daemon=True).start()


def _end_with_parent(reader: Connection, parent: int) -> None:
    # Nothing is ever written: the pipe ends when the parent closes it or is killed.
    with contextlib.suppress(EOFError):
        reader.recv()
    # A process that ended while it sends a world would leave half of it, for whose rest the parent waits for ever. One
    # that does not simulate ends by itself as long as its parent lives.
    while os.getppid() == parent:
        with _leaving:
            if _is_simulating:
                os._exit(1)
        time.sleep(0.02)
    os._exit(1)


@contextlib.contextmanager
def _simulation() -> Iterator[None]:
    """While this process simulates, it may be ended at once."""
    global _is_simulating
    with _leaving:
        _is_simulating = True
    try:
        yield
    finally:
        with _leaving:
            _is_simulating = False


@_simulation()
def _simulated(
    seed: int,
    sensors: tuple[str, ...],
    worlds: tuple[str, ...],
    num_scans: int,
    interval_s: float,
    taxonomy: Taxonomy,
) -> World:
    # Imported here, so that only these processes need the ray caster.
    from training.simulate import Drive
    from training.simulate.sensor.sensors import sensor_named

    sensor = sensor_named(sensors[seed % len(sensors)])
    kind = worlds[seed // len(sensors) % len(worlds)]
    world = World([], [])
    for frame in Drive(seed, num_scans, sensor.name, interval_s, jitter=True, world=kind).frames():
        _add_scan(world, frame, sensor.intensity_max, taxonomy)
    return world


def _add_scan(world: World, frame: "Frame", intensity_max: float, taxonomy: Taxonomy) -> None:
    from training.data.augmentation.objects import objects_in
    from training.data.dataset import usable_points

    class_ids = taxonomy.class_ids_from_raw(frame.labels)
    points, class_ids, instances = usable_points(frame.points, class_ids, frame.labels >> 16)
    # Sensors that report 0..255 are brought to KITTI's scale, 0..1.
    points[:, 3] /= max(1.0, intensity_max)
    world.scans.append(Example.of_scan(points, class_ids, instances))
    world.objects.extend(objects_in(points, class_ids, instances, taxonomy))
