"""A drive through a simulated street: the ego vehicle's path, and the frames its sensor records on the way."""

from dataclasses import dataclass

import numpy as np

from pvd_core.runtime.memory import return_freed_memory
from training.simulate.sensor.mounting import mounting_of
from training.simulate.sensor.scanner import Scanner, Sweep
from training.simulate.sensor.sensors import sensor_named
from training.simulate.shapes.mesh import rotation
from training.simulate.street.kinds import LANE_WIDTH_M
from training.simulate.street.traffic import Traffic
from training.simulate.street.world import StreetWorld
from training.simulate.street.world_kinds import world_kind_named

_START_M = 95.0
_NUM_POSES = 9  # of a sweep; those of its columns lie between them
_NUM_MOVER_TIMES = 4  # of a rolling sweep


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
    rings: np.ndarray
    """(N,) ring of each point."""


class Drive:
    """One vehicle's way through the street of a seed; every scan depends on the settings and its index alone."""

    def __init__(
        self,
        seed,
        num_scans,
        sensor="hdl64e",
        scan_interval_s=0.1,
        *,
        height_m=None,
        tilt_deg=0.0,
        jitter=False,
        is_rolling=False,
        world="mixed",
    ):
        """`height_m`, `tilt_deg`, `jitter`: see `mounting_of`; `world`: one of WORLD_KINDS. Every scan is measured
        while the vehicle moves; `is_rolling` leaves its points as measured, else they are carried into the frame of the
        sweep's middle."""
        self.seed, self.num_scans, self.scan_interval_s = seed, num_scans, scan_interval_s
        self.lidar = sensor_named(sensor)
        self.mounting = mounting_of(self.lidar, seed, height_m, tilt_deg, jitter)
        self._is_rolling = is_rolling
        kind = world_kind_named(world)
        self._speed_mps = kind.speed_mps
        self.world = StreetWorld(seed, self._ego_s(num_scans * scan_interval_s) + 2 * _START_M, kind)
        self._traffic = Traffic(seed, kind)
        self._to_first = np.linalg.inv(self._sensor_pose(0.0))

    def stamp_s(self, index):
        return round(index * self.scan_interval_s, 9)

    def pose(self, index):
        """(4, 4) float64 of scan `index`: its sensor's frame to that of scan 0."""
        return self._to_first @ self._sensor_pose(self.stamp_s(index))

    def frames(self, first_scan=0):
        """Yields the frames from `first_scan` on."""
        scanner = Scanner(self.lidar, np.random.default_rng([self.seed, 9]))
        window = None
        for index in range(first_scan, self.num_scans):
            stamp_s = self.stamp_s(index)
            ego_s = self._ego_s(stamp_s)
            if self.world.window_at(ego_s) != window:
                window = self.world.window_at(ego_s)
                origin = self.world.route.to_world(self.world.blocks[window[0]].start_m, 0, 0)
                scanner.set_static(self.world.static_mesh(window), origin)
                return_freed_memory()  # without it a long drive grows by 0.4 GB, in gaps between what streets left
            movers = [self._traffic.meshes(self.world, self._ego_s(time_s), time_s) for time_s in self._times(stamp_s)]
            random = np.random.default_rng([self.seed, 6, index])
            scan = scanner.scan(movers, self._sweep(stamp_s), random)
            yield Frame(scan.points, scan.labels, self.pose(index), stamp_s, scan.rings)

    def _times(self, stamp_s):
        """When the movers' places are taken: in the sweep's middle, or at several times of a rolling one."""
        if not self._is_rolling:
            return [stamp_s]
        parts = (np.arange(_NUM_MOVER_TIMES) + 0.5) / _NUM_MOVER_TIMES - 0.5
        return list(stamp_s + parts / self.lidar.rate_hz)

    def _sweep(self, stamp_s):
        """The sensor's motion during the sweep whose middle is at `stamp_s`."""
        knots = np.linspace(-0.5, 0.5, _NUM_POSES)
        poses = np.stack([self._sensor_pose(stamp_s + knot / self.lidar.rate_hz) for knot in knots])
        place = (self.lidar.column_times + 0.5) * (_NUM_POSES - 1)
        before = np.clip(place.astype(int), 0, _NUM_POSES - 2)
        # Between knots 12 ms apart, mixing rotation matrices is off by less than float32 resolves.
        share = (place - before)[:, None, None]
        columns = poses[before] * (1 - share) + poses[before + 1] * share
        return Sweep(self._sensor_pose(stamp_s), columns, is_deskewed=not self._is_rolling)

    def _ego_s(self, time_s):
        """Metres along the street; the vehicle slows and hastens a little."""
        phase = np.random.default_rng([self.seed, 7]).uniform(0, 2 * np.pi)
        return _START_M + self._speed_mps * time_s + 6.0 * (np.sin(0.25 * time_s + phase) - np.sin(phase))

    def _sensor_pose(self, time_s):
        """(4, 4) sensor to world; the vehicle sways in its lane and nods."""
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


def simulate_sequence(seed, num_scans, sensor="hdl64e", scan_interval_s=0.1, first_scan=0, **settings):
    """Yields `Frame`s `first_scan`..`num_scans` - 1 of the drive of a seed. The same settings give the same bytes,
    wherever one starts. With a `scan_interval_s` above 0.1 few scans see much of the street. `settings`: as `Drive`."""
    yield from Drive(seed, num_scans, sensor, scan_interval_s, **settings).frames(first_scan)
