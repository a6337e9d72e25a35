"""Scans of ever new simulated worlds as an endless stream, without a data set on disk.

The stream is cut into windows. A window has the scans of some worlds, shuffled together; each scan comes once in each
pass over the window.
"""

import hashlib
import json
import threading
from concurrent.futures import Future
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pvd_core.borders.errors import UserError
from pvd_core.taxonomy import SEMANTICKITTI, Taxonomy
from training.data.augmentation.objects import ObjectBank
from training.data.example import Example
from training.data.world_pool import World, WorldPool, result

# Keeps this use of the seed apart from those in `batches`.
_ORDER = 0
_MIN_WORLDS_COUNTED = 8


@dataclass(frozen=True)
class StreamConfig:
    first_world: int = 1_000_000
    """Seed of the first world; the next ones follow. `pvd simulate` uses 100 times its own seed, plus 0 to 10."""
    sensors: tuple[str, ...] = ("hdl64e",)
    """Each world takes the next one, from the first again after the last."""
    worlds: tuple[str, ...] = ("mixed",)
    """Kinds of worlds, as `pvd simulate --world`; the kind changes once all sensors had it."""
    scans_per_world: int = 8
    interval_s: float = 1.0
    """Between the scans of a world; 0.1 is a sensor at 10 Hz."""
    worlds_per_window: int = 4
    """Worlds whose scans are shuffled together. Up to three windows are in memory, about 2.5 MB a 64-beam scan."""
    passes: int = 1
    """How often each scan is used, each time augmented in another way; 2 or more where simulating is the bottleneck."""
    num_processes: int = 1
    """Processes that simulate, besides the one that trains."""

    def __post_init__(self) -> None:
        for name in ("scans_per_world", "interval_s", "worlds_per_window", "passes", "num_processes"):
            if not getattr(self, name) > 0:
                raise UserError(f"stream.{name} is {getattr(self, name)}: expected more than 0")
        if self.first_world < 0:
            raise UserError(f"stream.first_world is {self.first_world}: expected at least 0")
        if not self.sensors:
            raise UserError("stream.sensors is empty: name at least one, such as hdl64e")
        if not self.worlds:
            raise UserError("stream.worlds is empty: name at least one, such as mixed")


class SimulatedStream:
    """A ScanStream of worlds that processes of its own simulate; to be closed."""

    def __init__(self, config: StreamConfig, seed: int, taxonomy: Taxonomy = SEMANTICKITTI) -> None:
        """`taxonomy`: the classes as which labels are read. UserError for a sensor or kind of world that does not
        exist, and where the ray caster is not installed."""
        _check(config)
        self.config, self.seed, self.taxonomy = config, seed, taxonomy
        self._window_size = config.worlds_per_window * config.scans_per_world
        self._pool = WorldPool(
            config.num_processes, config.sensors, config.worlds, config.scans_per_world, config.interval_s, taxonomy
        )
        self._windows: dict[int, list[Future[World]]] = {}
        self._lock = threading.Lock()

    def scan(self, position: int) -> Example:
        """The measured points of the scan at `position`; waits until its world is simulated."""
        window, _, place = self._place(position)
        return self._scan(window, place)

    def partner(self, position: int, generator: np.random.Generator) -> Example:
        """Another scan of the same window, to be mixed with the one at `position`."""
        return self._scan(self._place(position)[0], int(generator.integers(self._window_size)))

    def identity(self, position: int) -> tuple[int, int]:
        """(seed of the world, number of its scan times the passes, plus the pass): no other position has the same."""
        window, pass_number, place = self._place(position)
        world, scan = divmod(place, self.config.scans_per_world)
        return self._seeds(window)[world], scan * self.config.passes + pass_number

    def name(self, position: int) -> str:
        """Seed of the world and number of its scan, such as world 1000000 scan 3."""
        seed, number = self.identity(position)
        return f"world {seed} scan {number // self.config.passes}"

    def epoch_of(self, position: int) -> float:
        """Windows that are done before `position`, with the fraction of the present one."""
        return position / (self._window_size * self.config.passes)

    def objects(self, position: int) -> ObjectBank:
        """Objects of the worlds in the window of `position`; waits until they are simulated."""
        worlds = self._worlds(self._place(position)[0])
        bank = ObjectBank()
        for world in worlds:
            bank.add(world.objects)
        return bank

    def class_counts(self) -> np.ndarray:
        """int64 (C,): number of points of each class in the first worlds."""
        counts = np.zeros(self.taxonomy.num_classes, dtype=np.int64)
        for window in range(-(-_MIN_WORLDS_COUNTED // self.config.worlds_per_window)):
            for world in self._worlds(window):
                for scan in world.scans:
                    counts += np.bincount(scan.labels, minlength=self.taxonomy.num_classes)
        return counts

    def num_scans(self) -> None:
        """None: there are no epochs."""

    def describe(self) -> str:
        """One line: the first world, the scans of each, the sensors."""
        config = self.config
        sensors = ", ".join(config.sensors)
        return f"simulated worlds from {config.first_world} on, {config.scans_per_world} scans each, by {sensors}"

    def remarks(self) -> list[str]:
        """Nothing: there are no poses that could be wrong."""
        return []

    def facts(self) -> dict[str, Any]:
        """The keys "dataset" (always "simulated worlds"), "sequences" (none) and "stream" (the settings)."""
        return {"dataset": "simulated worlds", "sequences": [], "stream": asdict(self.config)}

    def fingerprint(self) -> str:
        """Digest of the settings, of the seed and of the simulator's version."""
        from training.simulate.dataset import WORLD_VERSION

        settings = {**asdict(self.config), "num_processes": None, "world_version": WORLD_VERSION, "seed": self.seed}
        if self.config.worlds == ("mixed",):
            del settings["worlds"]  # so that runs from before there were other kinds can be resumed
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()

    def close(self) -> None:
        """Stops the simulating processes. Who still waits for a scan gets a UserError."""
        with self._lock:
            self._windows = {}
            self._pool.close()

    def _place(self, position: int) -> tuple[int, int, int]:
        """(window, pass over it, number of the scan in it)."""
        window, place = divmod(position, self._window_size * self.config.passes)
        pass_number, place = divmod(place, self._window_size)
        order = np.random.default_rng((self.seed, _ORDER, window, pass_number)).permutation(self._window_size)
        return window, pass_number, int(order[place])

    def _scan(self, window: int, place: int) -> Example:
        world, scan = divmod(place, self.config.scans_per_world)
        return result(self._seeds(window)[world], self._futures(window)[world]).scans[scan]

    def _worlds(self, window: int) -> list[World]:
        futures = self._futures(window)
        return [result(seed, future) for seed, future in zip(self._seeds(window), futures, strict=True)]

    def _seeds(self, window: int) -> range:
        first = self.config.first_world + window * self.config.worlds_per_window
        return range(first, first + self.config.worlds_per_window)

    def _futures(self, window: int) -> list[Future[World]]:
        """The worlds of a window. The next window is asked for too, so the processes are at most one window ahead.

        Windows are kept from one behind to two ahead, because threads ask out of order.
        """
        with self._lock:
            for wanted in (window, window + 1):
                if wanted not in self._windows:
                    self._windows[wanted] = [self._pool.request(seed) for seed in self._seeds(wanted)]
            for old in [number for number in self._windows if not window - 1 <= number <= window + 2]:
                del self._windows[old]
            return self._windows[window]


def _check(config: StreamConfig) -> None:
    from training.simulate.dataset import check_interval
    from training.simulate.sensor.scanner import import_ray_caster
    from training.simulate.sensor.sensors import sensor_named
    from training.simulate.street.world_kinds import world_kind_named

    for name in config.sensors:
        sensor_named(name)
    for name in config.worlds:
        world_kind_named(name)
    check_interval("stream.interval_s", config.interval_s)
    import_ray_caster()
