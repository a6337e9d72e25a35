"""A drive through a simulated street: the ego vehicle's path, and the frames its sensor records on the way."""

from dataclasses import dataclass

import numpy as np

from training.simulate.kinds import LANE_WIDTH_M
from training.simulate.mesh import rotation
from training.simulate.scanner import Scanner
from training.simulate.sensors import sensor_named
from training.simulate.traffic import Traffic
from training.simulate.world import StreetWorld

_START_M = 95.0
_SPEED_MPS = 9.0


@dataclass(frozen=True)
class Frame:
    """One scan of a drive."""

    points: np.ndarray
    """(N, 4) float32: x, y, z, intensity in the sensor's frame; ring after ring, top ring first."""
    labels: np.ndarray
    """(N,) uint32 as in a `.label` file."""
    pose: np.ndarray
    """(4, 4) float64, sensor to world; the world is the sensor's frame at the first scan."""
    stamp_s: float
    rings: np.ndarray
    """(N,) ring of each point."""


class Drive:
    """One vehicle's way through the street of a seed; every scan depends on the seed and its index alone."""

    def __init__(self, seed, num_scans, sensor="hdl64e", scan_interval_s=0.1):
        self.seed, self.num_scans, self.scan_interval_s = seed, num_scans, scan_interval_s
        self.lidar = sensor_named(sensor)
        self.world = StreetWorld(seed, self._ego_s(num_scans * scan_interval_s) + 2 * _START_M)
        self._traffic = Traffic(seed)
        self._to_first = np.linalg.inv(self._sensor_pose(0.0))

    def stamp_s(self, index):
        return round(index * self.scan_interval_s, 9)

    def pose(self, index):
        """(4, 4) float64 of scan `index`: its sensor's frame to that of scan 0."""
        return self._to_first @ self._sensor_pose(self.stamp_s(index))

    def frames(self, first_scan=0):
        """Yields the frames from `first_scan` on."""
        scanner = Scanner(self.lidar)
        window = None
        for index in range(first_scan, self.num_scans):
            stamp_s = self.stamp_s(index)
            ego_s = self._ego_s(stamp_s)
            if self.world.window_at(ego_s) != window:
                window = self.world.window_at(ego_s)
                origin = self.world.route.to_world(self.world.blocks[window[0]].start_m, 0, 0)
                scanner.set_static(self.world.static_mesh(window), origin)
            movers = self._traffic.meshes(self.world, ego_s, stamp_s)
            random = np.random.default_rng([self.seed, 6, index])
            scan = scanner.scan(movers, self._sensor_pose(stamp_s), random)
            yield Frame(scan.points, scan.labels, self.pose(index), stamp_s, scan.rings)

    def _ego_s(self, time_s):
        """Metres along the street; the vehicle slows and hastens a little."""
        phase = np.random.default_rng([self.seed, 7]).uniform(0, 2 * np.pi)
        return _START_M + _SPEED_MPS * time_s + 6.0 * (np.sin(0.25 * time_s + phase) - np.sin(phase))

    def _sensor_pose(self, time_s):
        """(4, 4) sensor to world; the vehicle sways in its lane and nods."""
        a, b, c = np.random.default_rng([self.seed, 8]).uniform(0, 2 * np.pi, 3)
        s = float(self._ego_s(time_s))
        d = -LANE_WIDTH_M / 2 + 0.15 * np.sin(0.3 * time_s + a)
        pose = np.eye(4)
        pitch = -np.arctan(float(self.world.route.slope(s))) + 0.004 * np.sin(2.1 * time_s + b)
        yaw = float(self.world.route.heading(s)) + 0.005 * np.cos(0.3 * time_s + a)
        roll = np.arctan(float(self.world.route.bank(s))) + 0.004 * np.sin(1.7 * time_s + c)
        pose[:3, :3] = rotation(yaw, pitch, roll)
        pose[:3, 3] = self.world.route.to_world(s, d, self.lidar.height_m)
        return pose


def simulate_sequence(seed, num_scans, sensor="hdl64e", scan_interval_s=0.1, first_scan=0):
    """Yields `Frame`s `first_scan`..`num_scans` - 1 of the drive of a seed. The same seed gives the same bytes,
    wherever one starts. With a `scan_interval_s` above 0.1 few scans see much of the street."""
    yield from Drive(seed, num_scans, sensor, scan_interval_s).frames(first_scan)
