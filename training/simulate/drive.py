"""A drive along a simulated street: the ego vehicle's path, and the frames that its sensor records."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from pvd_core.runtime.memory import return_freed_memory
from training.simulate.sensor.mounting import mounting_of
from training.simulate.sensor.scanner import Scanner, Sweep
from training.simulate.sensor.sensors import sensor_named
from training.simulate.shapes.mesh import rotation
from training.simulate.street.layout import LANE_WIDTH_M
from training.simulate.street.traffic import Traffic
from training.simulate.street.world import StreetWorld
from training.simulate.street.world_kinds import world_kind_named

_START_M = 95.0  # s of the ego vehicle at time 0
_NUM_POSES = 9  # computed for a sweep; those of its columns are interpolated
_NUM_MOVER_TIMES = 4  # times in a rolling sweep at which the movers' places are computed


@dataclass(frozen=True)
class Frame:
    """One scan of a drive."""

    points: np.ndarray
    """(N, 4) float32: x, y, z in the sensor's frame, intensity in its scale; ring after ring, top ring first."""
    labels: np.ndarray
    """(N,) uint32 as in a `.label` file."""
    pose: np.ndarray
    """(4, 4) float64, sensor to world; the world is the sensor's frame at the first scan."""
    stamp_s: float
    """Time of the sweep's middle, from 0 at the first scan."""
    rings: np.ndarray
    """(N,) uint8 ring of each point, 0 at the top."""


class Drive:
    """One vehicle's drive along the street of a seed. A scan depends only on the settings and its index."""

    def __init__(
        self,
        seed: int,
        num_scans: int,
        sensor: str = "hdl64e",
        scan_interval_s: float = 0.1,
        *,
        height_m: float | None = None,
        tilt_deg: float = 0.0,
        jitter: bool = False,
        is_rolling: bool = False,
        world: str = "mixed",
    ) -> None:
        """sensor: a name of `SENSORS`. height_m, tilt_deg, jitter: see `mounting_of`. world: a name of `WORLD_KINDS`.

        The vehicle moves during each sweep. is_rolling: points stay in the sensor's frame at their own time; else they
        are transformed into its frame in the middle of the sweep. UserError for unknown names and for mountings that
        `check_mounting` refuses.
        """
        self.seed, self.num_scans, self.scan_interval_s = seed, num_scans, scan_interval_s
        self.lidar = sensor_named(sensor)
        self.mounting = mounting_of(self.lidar, seed, height_m, tilt_deg, jitter)
        self._is_rolling = is_rolling
        kind = world_kind_named(world)
        self._speed_mps = kind.speed_mps
        self.world = StreetWorld(seed, self._ego_s(num_scans * scan_interval_s) + 2 * _START_M, kind)
        self._traffic = Traffic(seed, kind)
        self._to_first = np.linalg.inv(self._sensor_pose(0.0))

    def stamp_s(self, index: int) -> float:
        """Time of scan `index` in seconds, in the middle of its sweep."""
        return round(index * self.scan_interval_s, 9)

    def pose(self, index: int) -> np.ndarray:
        """(4, 4) float64: the sensor's frame at scan `index` to its frame at scan 0."""
        return self._to_first @ self._sensor_pose(self.stamp_s(index))

    def frames(self, first_scan: int = 0) -> Iterator[Frame]:
        """Yields the frames from `first_scan` to the last. UserError where embreex is not installed."""
        scanner = Scanner(self.lidar, np.random.default_rng([self.seed, 9]))
        window = None
        for index in range(first_scan, self.num_scans):
            stamp_s = self.stamp_s(index)
            ego_s = self._ego_s(stamp_s)
            if self.world.window_at(ego_s) != window:
                window = self.world.window_at(ego_s)
                origin = self.world.route.to_world(self.world.blocks[window[0]].start_m, 0, 0)
                scanner.set_static(self.world.static_mesh(window), origin)
                return_freed_memory()  # else a long drive grows by 0.4 GB of memory that is freed but not returned
            movers = [self._traffic.meshes(self.world, self._ego_s(time_s), time_s) for time_s in self._times(stamp_s)]
            random = np.random.default_rng([self.seed, 6, index])
            scan = scanner.scan(movers, self._sweep(stamp_s), random)
            yield Frame(scan.points, scan.labels, self.pose(index), stamp_s, scan.rings)

    def _times(self, stamp_s: float) -> list[float]:
        """The times at which the movers' places are computed: the sweep's middle, or several of a rolling sweep."""
        if not self._is_rolling:
            return [stamp_s]
        parts = (np.arange(_NUM_MOVER_TIMES) + 0.5) / _NUM_MOVER_TIMES - 0.5
        return list(stamp_s + parts / self.lidar.rate_hz)

    def _sweep(self, stamp_s: float) -> Sweep:
        """The sensor's motion during the sweep whose middle is at `stamp_s`."""
        knots = np.linspace(-0.5, 0.5, _NUM_POSES)
        poses = np.stack([self._sensor_pose(stamp_s + knot / self.lidar.rate_hz) for knot in knots])
        place = (self.lidar.column_times + 0.5) * (_NUM_POSES - 1)
        before = np.clip(place.astype(int), 0, _NUM_POSES - 2)
        # Over 12 ms between knots, the error of interpolated rotation matrices is below the resolution of float32.
        share = (place - before)[:, None, None]
        columns = poses[before] * (1 - share) + poses[before + 1] * share
        return Sweep(self._sensor_pose(stamp_s), columns, is_deskewed=not self._is_rolling)

    def _ego_s(self, time_s: float) -> float:
        """Metres along the street; the speed varies a little."""
        phase = np.random.default_rng([self.seed, 7]).uniform(0, 2 * np.pi)
        return _START_M + self._speed_mps * time_s + 6.0 * (np.sin(0.25 * time_s + phase) - np.sin(phase))

    def _sensor_pose(self, time_s: float) -> np.ndarray:
        """(4, 4) float64, sensor to world; the vehicle sways in its lane, pitches and rolls."""
        a, b, c = np.random.default_rng([self.seed, 8]).uniform(0, 2 * np.pi, 3)
        s = float(self._ego_s(time_s))
        d = -LANE_WIDTH_M / 2 + 0.15 * np.sin(0.3 * time_s + a)
        pose = np.eye(4)
        pitch = -np.arctan(float(self.world.route.slope(s))) + 0.004 * np.sin(2.1 * time_s + b)
        yaw = float(self.world.route.heading(s)) + 0.005 * np.cos(0.3 * time_s + a)
        roll = np.arctan(float(self.world.route.bank(s))) + 0.004 * np.sin(1.7 * time_s + c)
        mounted = rotation(0.0, np.radians(self.mounting.pitch_deg), np.radians(self.mounting.roll_deg))
        pose[:3, :3] = rotation(yaw, pitch, roll) @ mounted
        pose[:3, 3] = self.world.route.to_world(s, d, self.mounting.height_m)
        return pose


def simulate_sequence(
    seed: int,
    num_scans: int,
    sensor: str = "hdl64e",
    scan_interval_s: float = 0.1,
    first_scan: int = 0,
    **settings: Any,
) -> Iterator[Frame]:
    """Yields the frames `first_scan`..`num_scans` - 1 of the drive of a seed; arguments and `settings` as of `Drive`.

    Frames have the same bytes whatever `first_scan` is. A `scan_interval_s` above 0.1 shows more of the street in fewer
    scans.
    """
    yield from Drive(seed, num_scans, sensor, scan_interval_s, **settings).frames(first_scan)
