"""Casts a sensor's rays at meshes and turns the hits into labelled points.

Shape suffixes: `R` rings, `A` azimuths of a sweep, `B` = R * A beams ring after ring, `N` points.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from training.simulate.sensor.edges import reported_surfaces
from training.simulate.sensor.ray_caster import RayCaster, import_ray_caster
from training.simulate.sensor.response import Response, Surfaces
from training.simulate.sensor.sensors import SpinningLidar

_OUTLIER = 1
_COLUMNS = ("materials", "raw_ids", "instances", "brightness")
_TEXTURE_PERIOD_M = 4032.0  # a common multiple of both textures' periods, so that a place keeps its texture


class LabelledMesh(Protocol):
    """The part of `shapes.mesh.Mesh` that the scanner uses; shapes and dtypes are given there."""

    @property
    def vertices(self) -> np.ndarray: ...
    @property
    def triangles(self) -> np.ndarray: ...
    @property
    def materials(self) -> np.ndarray: ...
    @property
    def raw_ids(self) -> np.ndarray: ...
    @property
    def instances(self) -> np.ndarray: ...
    @property
    def brightness(self) -> np.ndarray: ...


@dataclass(frozen=True)
class Scan:
    """The measured points of one sweep."""

    points: np.ndarray
    """(N, 4) float32: x, y, z in metres in the sensor's frame, intensity in the sensor's scale; ring after ring, top
    ring first, counter-clockwise. Deskewing may turn a near point back past its far neighbour."""
    labels: np.ndarray
    """(N,) uint32: raw ids in the low 16 bits, instance ids in the high ones."""
    rings: np.ndarray
    """(N,) uint8."""


@dataclass(frozen=True)
class Sweep:
    """The sensor's motion during one turn."""

    pose: np.ndarray
    """(4, 4) float64, sensor to world in the middle of the sweep; this is the scan's frame."""
    column_poses: np.ndarray
    """(A, 4, 4) float64, sensor to world at the time when each column of beams is measured."""
    is_deskewed: bool = True
    """True: points are in the scan's frame, as in KITTI. False: each point is in the sensor's frame at its own time, as
    drivers send them."""


@dataclass(frozen=True)
class _Target:
    """A mesh in the ray caster. The mesh itself is not kept: the ray caster has a copy, and a street takes 70 MB."""

    caster: RayCaster
    columns: dict[str, np.ndarray]
    """The attributes of the mesh, (triangles,) each."""


class Scanner:
    """Scans a static mesh, kept from scan to scan, and the moving meshes that are passed to each scan."""

    def __init__(self, sensor: SpinningLidar, random: np.random.Generator | None = None) -> None:
        """`random` draws the gains of this unit of the sensor and the brightness of the drive's materials. UserError
        where embreex is not installed."""
        import_ray_caster()  # a missing package is reported before any street is built
        self.sensor = sensor
        self._response = Response(sensor, np.random.default_rng(0) if random is None else random)
        self._seen = np.flatnonzero(sensor.sees().ravel())
        self._directions_RA3 = sensor.directions().astype(np.float32)
        self._heights_R = np.array(sensor.origins_m or (0,) * sensor.num_rings, dtype=np.float32)
        spacing_deg = 360 / sensor.num_azimuths
        self._overlap_share = min(1.0, sensor.beam_width_deg / spacing_deg)
        self._static: _Target | None = None

    def set_static(self, mesh: LabelledMesh, origin: np.ndarray) -> None:
        """`mesh` is in world coordinates. `origin` (3,) is a place near it, relative to which float32 is precise."""
        self._static = None  # freed before the next is built: it is the largest object in memory
        self._origin = np.asarray(origin, dtype=np.float64)
        self._static = self._target(mesh)

    def scan(self, movers: Sequence[LabelledMesh], sweep: Sweep, random: np.random.Generator) -> Scan:
        """The Scan of one sweep, once a static mesh is set.

        movers: the sweep is divided into as many equal parts as there are meshes; each mesh, in world coordinates, is
        what moves, at its place during that part of the sweep, in time order.
        """
        assert self._static is not None, "set_static comes before the first scan"
        rays_B6 = self._rays(sweep)
        hits = _no_hits(self._static, len(rays_B6))
        _take_nearer(hits, *self._cast(self._static, rays_B6, self._seen))
        parts = self._parts(len(movers))
        for part, mesh in enumerate(movers):
            beams = self._seen if len(movers) == 1 else self._seen[parts[self._seen] == part]
            if len(mesh.triangles) and len(beams):
                _take_nearer(hits, *self._cast(self._target(mesh), rays_B6, beams))
        return self._sense(hits, rays_B6, sweep, random)

    def _rays(self, sweep: Sweep) -> np.ndarray:
        """(B, 6) float32: origins relative to the static mesh's, and unit directions."""
        rotations_A33 = sweep.column_poses[:, :3, :3].astype(np.float32)
        starts_A3 = (sweep.column_poses[:, :3, 3] - self._origin).astype(np.float32)
        rays = np.empty((self.sensor.num_rings, self.sensor.num_azimuths, 6), dtype=np.float32)
        rays[..., 3:] = np.matmul(rotations_A33, self._directions_RA3[..., None])[..., 0]
        rays[..., :3] = starts_A3 + self._heights_R[:, None, None] * rotations_A33[:, :, 2]
        return rays.reshape(-1, 6)

    def _parts(self, count: int) -> np.ndarray:
        """Int (B,): in which of `count` equal parts of the sweep each beam is measured."""
        columns = np.minimum(((self.sensor.column_times + 0.5) * count).astype(int), count - 1)
        return np.tile(columns, self.sensor.num_rings)

    def _target(self, mesh: LabelledMesh) -> _Target:
        caster = RayCaster((mesh.vertices - self._origin).astype(np.float32), mesh.triangles)
        return _Target(caster, {name: getattr(mesh, name) for name in _COLUMNS})

    def _cast(
        self, target: _Target, rays_B6: np.ndarray, beams: np.ndarray
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """(beams, {name: attribute of each hit}) of the listed beams that hit something."""
        hits = target.caster.first_hits(rays_B6[beams, :3], rays_B6[beams, 3:])
        beams = beams[hits.rays_H]
        cosines = np.abs(np.einsum("nc,nc->n", hits.normals_H3, rays_B6[beams, 3:]))
        found = {"ranges": hits.ranges_H, "cosines": cosines}
        return beams, found | {name: column[hits.triangles_H] for name, column in target.columns.items()}

    def _sense(
        self, hits: dict[str, np.ndarray], rays_B6: np.ndarray, sweep: Sweep, random: np.random.Generator
    ) -> Scan:
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

    def _placed(self, beams: np.ndarray, measured: np.ndarray, sweep: Sweep) -> np.ndarray:
        """(N, 3) float32: points in the scan's frame if it is deskewed, else in the sensor's at their time."""
        local = self._directions_RA3.reshape(-1, 3)[beams] * measured[:, None].astype(np.float32)
        local[:, 2] += self._heights_R[beams // self.sensor.num_azimuths]
        if not sweep.is_deskewed:
            return local
        to_frame = (np.linalg.inv(sweep.pose) @ sweep.column_poses).astype(np.float32)
        columns = beams % self.sensor.num_azimuths
        return np.einsum("nij,nj->ni", to_frame[columns, :3, :3], local) + to_frame[columns, :3, 3]


def _no_hits(target: _Target, num_beams: int) -> dict[str, np.ndarray]:
    """Hits of all beams before any is known: `_take_nearer` fills them in."""
    hits = {"ranges": np.full(num_beams, np.inf, np.float32), "cosines": np.zeros(num_beams, np.float32)}
    return hits | {name: np.zeros(num_beams, column.dtype) for name, column in target.columns.items()}


def _take_nearer(hits: dict[str, np.ndarray], beams: np.ndarray, found: dict[str, np.ndarray]) -> None:
    """Writes the hits `found` of `beams` into `hits` where they are nearer."""
    is_nearer = found["ranges"] < hits["ranges"][beams]
    beams = beams[is_nearer]
    for name, column in hits.items():
        column[beams] = found[name][is_nearer]
