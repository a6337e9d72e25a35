"""Scans of ever new simulated worlds as an endless stream, without a data set on disk.

The stream is window after window: some worlds whose scans are shuffled together, all of them once in each pass over
the window. What lies at a position depends on the settings and the position alone.
"""

import hashlib
import json
import threading
from dataclasses import asdict, dataclass

import numpy as np

from pvd_core.borders.errors import UserError
from pvd_core.taxonomy import NUM_CLASSES
from training.data.augmentation.objects import ObjectBank
from training.data.world_pool import WorldPool, result

_ORDER = 0
_MIN_WORLDS_COUNTED = 8


@dataclass(frozen=True)
class StreamConfig:
    first_world: int = 1_000_000
    """Seed of the first world; the next ones follow. `pvd simulate` uses 100 times its own seed, plus 0 to 10."""
    sensors: tuple[str, ...] = ("hdl64e",)
    """World after world takes the next one."""
    worlds: tuple[str, ...] = ("mixed",)
    """Kinds of worlds, as `pvd simulate --world`; taken in turns so that each meets every sensor."""
    scans_per_world: int = 8
    interval_s: float = 1.0
    """Between the scans of a world; 0.1 is a sensor at 10 Hz."""
    worlds_per_window: int = 4
    """Worlds whose scans are shuffled together. Up to three windows are in memory, about 2.5 MB a 64-beam scan."""
    passes: int = 1
    """How often each scan is used, changed in another way each time; 2 or more where simulating is the bottleneck."""
    num_processes: int = 1
    """That simulate, besides the one that trains."""

    def __post_init__(self):
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
    """What a BatchStream takes its scans from, as FolderStream; every method may be called from any thread."""

    def __init__(self, config, seed):
        _check(config)
        self.config, self.seed = config, seed
        self._window_size = config.worlds_per_window * config.scans_per_world
        self._pool = WorldPool(
            config.num_processes, config.sensors, config.worlds, config.scans_per_world, config.interval_s
        )
        self._windows = {}
        self._lock = threading.Lock()

    def scan(self, position):
        """(points float32 (N, 4), class ids uint8 (N,)); waits until its world is there."""
        window, _, place = self._place(position)
        return self._scan(window, place)

    def partner(self, position, generator):
        """Another scan of the same window, to be mixed with the one at `position`."""
        return self._scan(self._place(position)[0], generator.integers(self._window_size))

    def identity(self, position):
        """(seed of the world, number of its scan and pass): two whole numbers that no other position has."""
        window, number, place = self._place(position)
        world, scan = divmod(place, self.config.scans_per_world)
        return self._seeds(window)[world], scan * self.config.passes + number

    def name(self, position):
        seed, number = self.identity(position)
        return f"world {seed} scan {number // self.config.passes}"

    def epoch_of(self, position):
        """Windows done, as a fraction: there is no epoch in an endless stream."""
        return position / (self._window_size * self.config.passes)

    def objects(self, position):
        """ObjectBank of the rare objects in the window of `position`."""
        worlds = self._worlds(self._place(position)[0])
        bank = ObjectBank()
        for world in worlds:
            bank.add(world.objects)
        return bank

    def class_counts(self):
        """int64 (20,): points a class in the first worlds."""
        counts = np.zeros(NUM_CLASSES, dtype=np.int64)
        for window in range(-(-_MIN_WORLDS_COUNTED // self.config.worlds_per_window)):
            for world in self._worlds(window):
                for _, class_ids in world.scans:
                    counts += np.bincount(class_ids, minlength=NUM_CLASSES)
        return counts

    def num_scans(self):
        """None: endless."""

    def describe(self):
        config = self.config
        sensors = ", ".join(config.sensors)
        return f"simulated worlds from {config.first_world} on, {config.scans_per_world} scans each, by {sensors}"

    def facts(self):
        """What a weights file says about the scans."""
        return {"dataset": "simulated worlds", "sequences": [], "stream": asdict(self.config)}

    def fingerprint(self):
        """Text that changes when the same position would hold another scan."""
        from training.simulate.dataset import WORLD_VERSION

        settings = {**asdict(self.config), "num_processes": None, "world_version": WORLD_VERSION, "seed": self.seed}
        if self.config.worlds == ("mixed",):
            del settings["worlds"]  # runs from before there were others go on
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()

    def seeds_held(self):
        """Seeds of the worlds that are in memory or on their way."""
        with self._lock:
            return [seed for window in sorted(self._windows) for seed in self._seeds(window)]

    def close(self):
        """Stops the simulating processes; scans that somebody waits for do not come any more."""
        with self._lock:
            self._windows = {}
            self._pool.close()

    def _place(self, position):
        """(window, pass over it, number of the scan in it)."""
        window, place = divmod(position, self._window_size * self.config.passes)
        number, place = divmod(place, self._window_size)
        order = np.random.default_rng((self.seed, _ORDER, window, number)).permutation(self._window_size)
        return window, number, int(order[place])

    def _scan(self, window, place):
        world, scan = divmod(int(place), self.config.scans_per_world)
        return result(self._seeds(window)[world], self._futures(window)[world]).scans[scan]

    def _worlds(self, window):
        futures = self._futures(window)
        return [result(seed, future) for seed, future in zip(self._seeds(window), futures, strict=True)]

    def _seeds(self, window):
        first = self.config.first_world + window * self.config.worlds_per_window
        return range(first, first + self.config.worlds_per_window)

    def _futures(self, window):
        """The worlds of a window, those of the next one on their way: the processes are at most one window ahead. Only
        neighbours are kept; a little behind and ahead, since threads ask out of order."""
        with self._lock:
            for wanted in (window, window + 1):
                if wanted not in self._windows:
                    self._windows[wanted] = [self._pool.request(seed) for seed in self._seeds(wanted)]
            for old in [number for number in self._windows if not window - 1 <= number <= window + 2]:
                del self._windows[old]
            return self._windows[window]


def _check(config):
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
