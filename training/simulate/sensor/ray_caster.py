"""Ray casting with embreex (Embree 4): the first triangle that each ray hits.

Shape suffixes: `V` vertices, `T` triangles, `N` rays, `H` rays that hit.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from pvd_core.borders.errors import UserError


@dataclass(frozen=True)
class Hits:
    """The first hits of those rays that hit something."""

    rays_H: np.ndarray
    """Int64 indices of the rays, increasing."""
    ranges_H: np.ndarray
    """Float32, in lengths of the ray's direction."""
    triangles_H: np.ndarray
    """Int32 indices of the triangles."""
    normals_H3: np.ndarray
    """Float32 unit normals of the triangles; the order of their vertices decides the side."""


class RayCaster:
    """One mesh to cast rays at. It holds a copy of the mesh."""

    def __init__(self, vertices_V3: np.ndarray, triangles_T3: np.ndarray) -> None:
        """vertices_V3: float32; triangles_T3: int32 indices of vertices. UserError where embreex is not installed."""
        make_scene, add_mesh = import_ray_caster()
        # Robust: a ray through the edge between two triangles never slips between them.
        self._scene = make_scene(robust=True)
        add_mesh(self._scene, vertices_V3, triangles_T3)

    def first_hits(self, origins_N3: np.ndarray, directions_N3: np.ndarray) -> Hits:
        """Both float32."""
        origins_N3, directions_N3 = np.ascontiguousarray(origins_N3), np.ascontiguousarray(directions_N3)
        nowhere = np.full(len(origins_N3), np.inf, np.float32)
        result = self._scene.run(origins_N3, directions_N3, dists=nowhere, output=True)
        hit = np.flatnonzero(np.isfinite(result["tfar"]))
        return Hits(hit, result["tfar"][hit], result["primID"][hit], _unit(result["Ng"][hit]))


def import_ray_caster() -> tuple[Any, Any]:
    """Embreex's (EmbreeScene, TriangleMesh), the class of scenes and the one that adds a mesh; UserError without it."""
    try:
        from embreex.mesh_construction import TriangleMesh
        from embreex.rtcore_scene import EmbreeScene
    except ImportError as error:
        raise UserError(
            f"simulating needs embreex, the ray caster ({error}): pip install 'pvd_ros[sim]', or pip install embreex"
        ) from error
    return EmbreeScene, TriangleMesh


def _unit(normals_H3: np.ndarray) -> np.ndarray:
    """The rows scaled to length 1. The order of operations is fixed: another one changes the last bits of scans."""
    x, y, z = normals_H3.T
    return normals_H3 * (np.float32(1) / np.sqrt(x * x + y * y + z * z))[:, None]
