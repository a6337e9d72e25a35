"""Casts a sensor's rays into a world and turns what they hit into labelled points.

Shape suffixes: `R` rings, `A` azimuths of a sweep, `B` = R * A beams ring after ring, `N` points.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from pvd_core.borders.errors import UserError
from training.simulate.sensor.edges import reported_surfaces
from training.simulate.sensor.response import Response, Surfaces

_OUTLIER = 1
_COLUMNS = ("materials", "raw_ids", "instances", "brightness")
_TEXTURE_PERIOD_M = 4032.0  # a common multiple of both textures' periods, so that a place keeps its texture


@dataclass(frozen=True)
class Scan:
    points: np.ndarray
    """(N, 4) float32: x, y, z in metres in the sensor's frame, intensity in the sensor's scale; ring after ring, top
    ring first, counter-clockwise but for a step back where near and far points were carried into one frame."""
    labels: np.ndarray
    """(N,) uint32: raw ids in the low 16 bits, instance ids in the high ones."""
    rings: np.ndarray
    """(N,) uint8."""


@dataclass(frozen=True)
class Sweep:
    """How the sensor moves while it turns once."""

    pose: np.ndarray
    """(4, 4) sensor to world in the middle of the sweep: the scan's frame."""
    column_poses: np.ndarray
    """(A, 4, 4) sensor to world when each column of beams is measured."""
    is_deskewed: bool = True
    """Points are given in the scan's frame, as KITTI's; else in the sensor's at their time, as drivers send them."""


@dataclass(frozen=True)
class _Target:
    """What rays are cast at. The mesh itself is not kept: the ray caster has a copy, and a street's takes 70 MB."""

    scene: Any
    columns: dict[str, np.ndarray]
    """What each triangle is."""


class Scanner:
    """Holds the static geometry as a ray casting scene; what moves is handed over scan by scan."""

    def __init__(self, sensor, random=None):
        """`random` draws this specimen's gains and its drive's brightness."""
        self._make_scene, self._add_mesh = import_ray_caster()
        self.sensor = sensor
        self._response = Response(sensor, np.random.default_rng(0) if random is None else random)
        self._seen = np.flatnonzero(sensor.sees().ravel())
        self._directions_RA3 = sensor.directions().astype(np.float32)
        self._heights_R = np.array(sensor.origins_m or (0,) * sensor.num_rings, dtype=np.float32)
        spacing_deg = 360 / sensor.num_azimuths
        self._overlap_share = min(1.0, sensor.beam_width_deg / spacing_deg)
        self._static = None

    def set_static(self, mesh, origin):
        """`mesh` in world coordinates; `origin` (3,) near it, so that float32 is precise far from the world's zero."""
        self._static = None  # before the next is built: it is the largest thing in memory
        self._origin = np.asarray(origin, dtype=np.float64)
        self._static = self._target(mesh)

    def scan(self, movers, sweep, random):
        """`movers`: meshes in world coordinates, one for each of equal parts of the sweep in time order."""
        rays_B6 = self._rays(sweep)
        hits = _no_hits(self._static, len(rays_B6))
        _take_nearer(hits, *self._cast(self._static, rays_B6, self._seen))
        parts = self._parts(len(movers))
        for part, mesh in enumerate(movers):
            beams = self._seen if len(movers) == 1 else self._seen[parts[self._seen] == part]
            if len(mesh.triangles) and len(beams):
                _take_nearer(hits, *self._cast(self._target(mesh), rays_B6, beams))
        return self._sense(hits, rays_B6, sweep, random)

    def _rays(self, sweep):
        """(B, 6) float32: origins relative to the static mesh's, and unit directions."""
        rotations_A33 = sweep.column_poses[:, :3, :3].astype(np.float32)
        starts_A3 = (sweep.column_poses[:, :3, 3] - self._origin).astype(np.float32)
        rays = np.empty((self.sensor.num_rings, self.sensor.num_azimuths, 6), dtype=np.float32)
        rays[..., 3:] = np.matmul(rotations_A33, self._directions_RA3[..., None])[..., 0]
        rays[..., :3] = starts_A3 + self._heights_R[:, None, None] * rotations_A33[:, :, 2]
        return rays.reshape(-1, 6)

    def _parts(self, count):
        """(B,) part of the sweep in which each beam is measured."""
        columns = np.minimum(((self.sensor.column_times + 0.5) * count).astype(int), count - 1)
        return np.tile(columns, self.sensor.num_rings)

    def _target(self, mesh):
        # Robust: a ray that meets an edge between two triangles hits one of them.
        scene = self._make_scene(robust=True)
        self._add_mesh(scene, (mesh.vertices - self._origin).astype(np.float32), mesh.triangles)
        return _Target(scene, {name: getattr(mesh, name) for name in _COLUMNS})

    def _cast(self, target, rays_B6, beams):
        """(beams, what they hit by name) of those of the listed beams that hit something."""
        origins, directions = (np.ascontiguousarray(part) for part in np.hsplit(rays_B6[beams], 2))
        nowhere = np.full(len(beams), np.inf, np.float32)
        result = target.scene.run(origins, directions, dists=nowhere, output=True)
        hit = np.flatnonzero(np.isfinite(result["tfar"]))
        beams, triangle = beams[hit], result["primID"][hit]
        normals = _unit(result["Ng"][hit])
        found = {"ranges": result["tfar"][hit], "cosines": np.abs(np.einsum("nc,nc->n", normals, rays_B6[beams, 3:]))}
        return beams, found | {name: column[triangle] for name, column in target.columns.items()}

    def _sense(self, hits, rays_B6, sweep, random):
        sensor, shape = self.sensor, self._directions_RA3.shape[:2]
        source, blend, is_bloomed, is_stray = reported_surfaces(
            hits["ranges"].reshape(shape), hits["materials"].reshape(shape), self._overlap_share, random
        )
        ranges = hits["ranges"][source] + blend
        beams = np.flatnonzero((ranges > sensor.min_range_m) & (ranges < sensor.max_range_m))
        beams = beams[np.isin(beams, self._seen, assume_unique=True)] if len(self._seen) < len(source) else beams
        source, ranges = source[beams], ranges[beams]
        places = rays_B6[beams, :3] + rays_B6[beams, 3:] * ranges[:, None]
        surfaces = Surfaces(
            ranges_m=ranges,
            cosines=hits["cosines"][source],
            materials=hits["materials"][source],
            brightness=hits["brightness"][source],
            places=places + (self._origin % _TEXTURE_PERIOD_M).astype(np.float32),
        )
        kept = self._response.returned(surfaces, random)
        surfaces, beams, source = surfaces[kept], beams[kept], source[kept]
        rings = beams // shape[1]
        intensities = self._response.intensities(surfaces, rings, is_bloomed[beams], random)
        measured = self._response.measured(surfaces, random)
        is_stray = is_stray[beams]
        measured[is_stray] *= random.uniform(0.3, 0.95, np.count_nonzero(is_stray)).astype(np.float32)
        measured = np.maximum(np.rint(measured / sensor.range_step_m) * sensor.range_step_m, sensor.min_range_m)
        labels = hits["raw_ids"][source].astype(np.uint32) | (hits["instances"][source].astype(np.uint32) << 16)
        labels[is_stray] = _OUTLIER
        points = np.empty((len(beams), 4), dtype=np.float32)
        points[:, :3] = self._placed(beams, measured, sweep)
        points[:, 3] = intensities
        return Scan(points, labels, rings.astype(np.uint8))

    def _placed(self, beams, measured, sweep):
        """(N, 3) in the frame that the sweep asks for."""
        local = self._directions_RA3.reshape(-1, 3)[beams] * measured[:, None].astype(np.float32)
        local[:, 2] += self._heights_R[beams // self.sensor.num_azimuths]
        if not sweep.is_deskewed:
            return local
        to_frame = (np.linalg.inv(sweep.pose) @ sweep.column_poses).astype(np.float32)
        columns = beams % self.sensor.num_azimuths
        return np.einsum("nij,nj->ni", to_frame[columns, :3, :3], local) + to_frame[columns, :3, 3]


def _no_hits(target, num_beams):
    """What `_take_nearer` fills, for all beams."""
    hits = {"ranges": np.full(num_beams, np.inf, np.float32), "cosines": np.zeros(num_beams, np.float32)}
    return hits | {name: np.zeros(num_beams, column.dtype) for name, column in target.columns.items()}


def _take_nearer(hits, beams, found):
    is_nearer = found["ranges"] < hits["ranges"][beams]
    beams = beams[is_nearer]
    for name, column in hits.items():
        column[beams] = found[name][is_nearer]


def _unit(normals_N3):
    """The rows, each of length 1: in the order of operations of the scans whose checksums are kept."""
    x, y, z = normals_N3.T
    return normals_N3 * (np.float32(1) / np.sqrt(x * x + y * y + z * z))[:, None]


def import_ray_caster():
    """(class of scenes, class that adds a mesh to one) of embreex; UserError where it is not installed."""
    try:
        from embreex.mesh_construction import TriangleMesh
        from embreex.rtcore_scene import EmbreeScene
    except ImportError as error:
        raise UserError(
            f"simulating needs embreex, the ray caster ({error}): pip install 'pvd_ros[sim]', or pip install embreex"
        ) from error
    return EmbreeScene, TriangleMesh
