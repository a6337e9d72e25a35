"""Triangle meshes that give each triangle its class, instance, material and brightness."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from training.simulate.sensor.materials import material_index


@dataclass(frozen=True)
class Mesh:
    """`V` vertices, `T` triangles. Every method returns a new mesh."""

    vertices: np.ndarray
    """(V, 3) float64, metres; an object's own frame has x forward, y left, z up and its origin on the ground."""
    triangles: np.ndarray
    """(T, 3) int32 indices of `vertices`."""
    materials: np.ndarray
    """(T,) uint8 indices into `materials.MATERIALS`."""
    raw_ids: np.ndarray
    """(T,) uint16 raw ids of SemanticKITTI's classes."""
    instances: np.ndarray
    """(T,) uint16 instance ids, 0 for none."""
    brightness: np.ndarray
    """(T,) float32 factor on the material's reflectivity."""

    def moved(
        self, x: float = 0.0, y: float = 0.0, z: float = 0.0, yaw: float = 0.0, roll: float = 0.0, pitch: float = 0.0
    ) -> "Mesh":
        """Rolled about x, pitched about y (positive: nose down), turned about z (radians), then shifted by x, y, z."""
        vertices = self.vertices @ rotation(yaw, pitch, roll).T + (x, y, z)
        return replace(self, vertices=vertices)

    def scaled(self, *factors: float) -> "Mesh":
        """Stretched along x, y and z by three factors."""
        return replace(self, vertices=self.vertices * np.asarray(factors, dtype=np.float64))

    def labelled(self, raw_id: int) -> "Mesh":
        """All triangles of one class, without an instance."""
        count = len(self.triangles)
        return replace(self, raw_ids=np.full(count, raw_id, np.uint16), instances=np.zeros(count, np.uint16))

    def numbered(self, instance: int) -> "Mesh":
        """All triangles of one instance."""
        return replace(self, instances=np.full(len(self.triangles), instance, np.uint16))

    def shaded(self, factor: float) -> "Mesh":
        """Brightness multiplied by a factor."""
        return replace(self, brightness=(self.brightness * factor).astype(np.float32))


def rotation(yaw: float, pitch: float = 0.0, roll: float = 0.0) -> np.ndarray:
    """(3, 3) float64: Rz(yaw) Ry(pitch) Rx(roll)."""
    cy, sy, cp, sp, cr, sr = (f(a) for a in (yaw, pitch, roll) for f in (np.cos, np.sin))
    return np.array(
        [
            [cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr],
            [sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr],
            [-sp, cp * sr, cp * cr],
        ]
    )


def solid(vertices: ArrayLike, triangles: ArrayLike, material: str) -> Mesh:
    """A mesh of one material (a name of `materials.MATERIALS`), class 0, no instance and brightness 1."""
    triangles = np.asarray(triangles, dtype=np.int32).reshape(-1, 3)
    count = len(triangles)
    return Mesh(
        vertices=np.asarray(vertices, dtype=np.float64).reshape(-1, 3),
        triangles=triangles,
        materials=np.full(count, material_index(material), np.uint8),
        raw_ids=np.zeros(count, np.uint16),
        instances=np.zeros(count, np.uint16),
        brightness=np.ones(count, np.float32),
    )


def join(meshes: Iterable[Mesh]) -> Mesh:
    """One mesh with the triangles of all; an empty one if there are none."""
    meshes = list(meshes)
    if not meshes:
        return solid(np.zeros((0, 3)), np.zeros((0, 3)), "asphalt")
    firsts = np.cumsum([0] + [len(mesh.vertices) for mesh in meshes[:-1]])
    return Mesh(
        vertices=np.concatenate([mesh.vertices for mesh in meshes]),
        triangles=np.concatenate(
            [mesh.triangles + np.int32(first) for mesh, first in zip(meshes, firsts, strict=True)]
        ),
        materials=np.concatenate([mesh.materials for mesh in meshes]),
        raw_ids=np.concatenate([mesh.raw_ids for mesh in meshes]),
        instances=np.concatenate([mesh.instances for mesh in meshes]),
        brightness=np.concatenate([mesh.brightness for mesh in meshes]),
    )
