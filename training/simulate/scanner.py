"""Casts a sensor's rays into a world and turns what they hit into labelled points."""

from dataclasses import dataclass

import numpy as np

from training.simulate.materials import intensities, returns

_STRAY_SHARE = 2e-4
_OUTLIER = 1
_RANGE_STEP_M = 0.002
_GAIN_SPREAD = 0.07  # lasers of one sensor differ: real scans show it as lighter and darker rings


@dataclass(frozen=True)
class Scan:
    points: np.ndarray
    """(N, 4) float32: x, y, z in metres in the sensor's frame, intensity 0..0.99; ring after ring, top ring first."""
    labels: np.ndarray
    """(N,) uint32: raw ids in the low 16 bits, instance ids in the high ones."""
    rings: np.ndarray
    """(N,) uint8 or uint16."""


class Scanner:
    """Holds the static geometry as a ray casting scene; what moves is handed over scan by scan."""

    def __init__(self, sensor):
        self._open3d = _import_open3d()
        self.sensor = sensor
        sees = sensor.sees().ravel()
        self._directions = sensor.directions().reshape(-1, 3)[sees]
        rings = np.repeat(np.arange(sensor.num_rings), sensor.num_azimuths)
        self._rings = rings[sees].astype(np.uint8 if sensor.num_rings <= 256 else np.uint16)
        self._gains = (
            np.random.default_rng(sensor.num_rings).normal(1, _GAIN_SPREAD, sensor.num_rings).astype(np.float32)
        )
        self._static = None

    def set_static(self, mesh, origin):
        """`mesh` in world coordinates; `origin` (3,) near it, so that float32 is precise far from the world's zero."""
        self._origin = np.asarray(origin, dtype=np.float64)
        self._static = (mesh, self._scene(mesh))

    def scan(self, movers, pose, random):
        """Scan from the sensor's pose (4, 4) sensor-to-world, with `movers` a mesh in world coordinates."""
        world = self._directions @ pose[:3, :3].T
        rays = np.empty((len(world), 6), dtype=np.float32)
        rays[:, :3], rays[:, 3:] = pose[:3, 3] - self._origin, world
        rays = self._open3d.core.Tensor(rays)
        hits = self._cast(*self._static, rays)
        if len(movers.triangles):
            hits = _nearer(hits, self._cast(movers, self._scene(movers), rays))
        return self._sense(hits, rays.numpy()[:, 3:], random)

    def _scene(self, mesh):
        scene = self._open3d.t.geometry.RaycastingScene()
        vertices = (mesh.vertices - self._origin).astype(np.float32)
        scene.add_triangles(
            self._open3d.core.Tensor(vertices), self._open3d.core.Tensor(mesh.triangles.astype(np.uint32))
        )
        return scene

    def _cast(self, mesh, scene, rays):
        """(ranges, normals, materials, raw ids, instances, brightness) of each ray; infinite range where none."""
        result = scene.cast_rays(rays)
        triangle = result["primitive_ids"].numpy().astype(np.int64)
        ranges = result["t_hit"].numpy()
        triangle[~np.isfinite(ranges)] = 0
        columns = (mesh.materials, mesh.raw_ids, mesh.instances, mesh.brightness)
        return (ranges, result["primitive_normals"].numpy(), *(column[triangle] for column in columns))

    def _sense(self, hits, directions, random):
        sensor = self.sensor
        ranges = hits[0]
        heard = (ranges > sensor.min_range_m) & (ranges < sensor.max_range_m - 5 * sensor.range_noise_m)
        index = np.flatnonzero(heard)
        ranges, normals, materials, raw_ids, instances, brightness = (column[index] for column in hits)
        cosines = np.abs(np.einsum("nc,nc->n", normals, directions[index]))
        kept = returns(materials, brightness, ranges, cosines, random)
        index, ranges, cosines, materials = index[kept], ranges[kept], cosines[kept], materials[kept]
        raw_ids, instances, brightness = raw_ids[kept], instances[kept], brightness[kept]
        gains = self._gains[self._rings[index]]
        intensity = intensities(materials, brightness, ranges, cosines, gains, random)
        noise = np.clip(random.standard_normal(len(ranges), dtype=np.float32), -4, 4) * sensor.range_noise_m
        stray = random.random(len(ranges), dtype=np.float32) < _STRAY_SHARE
        measured = np.where(stray, ranges * random.uniform(0.3, 0.95, len(ranges)), ranges + noise)
        measured = np.maximum(np.rint(measured / _RANGE_STEP_M) * _RANGE_STEP_M, sensor.min_range_m)
        points = np.empty((len(index), 4), dtype=np.float32)
        points[:, :3] = self._directions[index] * measured[:, None]
        points[:, 3] = intensity
        labels = raw_ids.astype(np.uint32) | (instances.astype(np.uint32) << 16)
        labels[stray] = _OUTLIER
        return Scan(points, labels, self._rings[index])


def _nearer(first, second):
    closer = second[0] < first[0]
    return tuple(
        np.where(closer[:, None] if one.ndim == 2 else closer, two, one) for one, two in zip(first, second, strict=True)
    )


def _import_open3d():
    try:
        import open3d
    except ImportError as error:
        raise ImportError("simulating needs Open3D: install the extra `sim` (pip install open3d)") from error
    return open3d
