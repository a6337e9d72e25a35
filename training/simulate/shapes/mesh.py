"""Triangle meshes whose triangles know their class, instance and material: all that the scanner sees of a world."""

from dataclasses import dataclass, replace

import numpy as np

from training.simulate.sensor.materials import material_index


@dataclass(frozen=True)
class Mesh:
    vertices: np.ndarray
    """(V, 3) float64, metres; an object's own frame has x forward, y left, z up and its origin on the ground."""
    triangles: np.ndarray
    """(T, 3) int32 rows of `vertices`."""
    materials: np.ndarray
    """(T,) uint8, see `materials.MATERIALS`."""
    raw_ids: np.ndarray
    """(T,) uint16 SemanticKITTI raw ids."""
    instances: np.ndarray
    """(T,) uint16, 0 for what has no instances."""
    brightness: np.ndarray
    """(T,) float32 factor on the material's reflectivity."""

    def moved(self, x=0.0, y=0.0, z=0.0, yaw=0.0, roll=0.0, pitch=0.0):
        """Rolled about x, pitched about y (positive: nose down), turned about z (radians), then shifted."""
        vertices = self.vertices @ rotation(yaw, pitch, roll).T + (x, y, z)
        return replace(self, vertices=vertices)

    def scaled(self, *factors):
        return replace(self, vertices=self.vertices * np.asarray(factors, dtype=np.float64))

    def labelled(self, raw_id, instance=0):
        count = len(self.triangles)
        return replace(self, raw_ids=np.full(count, raw_id, np.uint16), instances=np.full(count, instance, np.uint16))

    def numbered(self, instance):
        return replace(self, instances=np.full(len(self.triangles), instance, np.uint16))

    def shaded(self, factor):
        return replace(self, brightness=(self.brightness * factor).astype(np.float32))


def rotation(yaw, pitch=0.0, roll=0.0):
    """(3, 3) float64: Rz(yaw) Ry(pitch) Rx(roll)."""
    cy, sy, cp, sp, cr, sr = (f(a) for a in (yaw, pitch, roll) for f in (np.cos, np.sin))
    return np.array(
        [
            [cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr],
            [sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr],
            [-sp, cp * sr, cp * cr],
        ]
    )


def solid(vertices, triangles, material, raw_id=0):
    """A mesh of one material and class."""
    triangles = np.asarray(triangles, dtype=np.int32).reshape(-1, 3)
    count = len(triangles)
    return Mesh(
        vertices=np.asarray(vertices, dtype=np.float64).reshape(-1, 3),
        triangles=triangles,
        materials=np.full(count, material_index(material), np.uint8),
        raw_ids=np.full(count, raw_id, np.uint16),
        instances=np.zeros(count, np.uint16),
        brightness=np.ones(count, np.float32),
    )


def join(meshes):
    """One mesh of many (an empty one of none)."""
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
