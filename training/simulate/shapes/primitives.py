"""Primitive shapes as meshes, from which all objects are built. Lengths are in metres; `material` is a name of
`materials.MATERIALS`."""

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from training.simulate.shapes.mesh import Mesh, solid

Vector = tuple[float, float, float]
"""x, y, z in metres."""
Rectangle = tuple[float, float, float, float, float]
"""A level rectangle: x0, x1, y0, y1, z in metres."""

_BOX_TRIANGLES = np.array(
    [
        (0, 1, 2), (0, 2, 3), (4, 6, 5), (4, 7, 6), (0, 4, 5), (0, 5, 1),
        (1, 5, 6), (1, 6, 2), (2, 6, 7), (2, 7, 3), (3, 7, 4), (3, 4, 0),
    ]
)  # fmt: skip


def frustum(bottom: Rectangle, top: Rectangle, material: str) -> Mesh:
    """A block between two level rectangles, which may differ in size."""
    corners = []
    for x0, x1, y0, y1, z in (bottom, top):
        corners += [(x0, y0, z), (x1, y0, z), (x1, y1, z), (x0, y1, z)]
    return solid(corners, _BOX_TRIANGLES, material)


def box(size: Vector, centre: Vector, material: str) -> Mesh:
    """An upright box of size (x, y, z) around `centre`."""
    (lx, ly, lz), (x, y, z) = size, centre
    rectangle = (x - lx / 2, x + lx / 2, y - ly / 2, y + ly / 2)
    return frustum((*rectangle, z - lz / 2), (*rectangle, z + lz / 2), material)


def boxes(sizes: ArrayLike, centres: ArrayLike, material: str) -> Mesh:
    """N upright boxes as one mesh; sizes and centres are (N, 3)."""
    sizes, centres = np.asarray(sizes, dtype=np.float64).reshape(-1, 3), np.asarray(centres).reshape(-1, 3)
    unit = np.array([(x, y, z) for z in (-0.5, 0.5) for x, y in ((-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5))])
    vertices = (unit[None] * sizes[:, None] + centres[:, None]).reshape(-1, 3)
    return solid(vertices, (_BOX_TRIANGLES[None] + 8 * np.arange(len(sizes))[:, None, None]), material)


def prism(profile_xz: ArrayLike, width: float, material: str, top_width: float | None = None) -> Mesh:
    """An outline (n, 2) in x and z, star-shaped about its mean, extruded along y to `width`; `top_width` is the width
    at the outline's top, None for the same."""
    profile = np.asarray(profile_xz, dtype=np.float64)
    count = len(profile)
    low, high = profile[:, 1].min(), profile[:, 1].max()
    share = (profile[:, 1] - low) / max(high - low, 1e-6)
    half = (width + ((top_width or width) - width) * share) / 2
    sides = [np.stack([profile[:, 0], sign * half, profile[:, 1]], axis=1) for sign in (-1, 1)]
    centres = [side.mean(axis=0, keepdims=True) for side in sides]
    here, after = np.arange(count), np.roll(np.arange(count), -1)
    triangles = [
        np.stack([here, after, after + count], axis=1),
        np.stack([here, after + count, here + count], axis=1),
        np.stack([here, after, np.full(count, 2 * count)], axis=1),
        np.stack([here + count, after + count, np.full(count, 2 * count + 1)], axis=1),
    ]
    return solid(np.concatenate([*sides, *centres]), np.concatenate(triangles), material)


def tubes(
    starts: ArrayLike,
    ends: ArrayLike,
    radii: ArrayLike,
    material: str,
    sides: int = 6,
    end_radii: ArrayLike | None = None,
) -> Mesh:
    """N round bars, closed at both ends, as one mesh. starts, ends: (N, 3). radii, end_radii: scalar or (N,); end_radii
    None for the same as radii. sides: of each bar's cross-section."""
    starts, ends = (np.asarray(points, dtype=np.float64).reshape(-1, 3) for points in (starts, ends))
    count = len(starts)
    radii = np.broadcast_to(np.asarray(radii, dtype=np.float64), (count,))
    end_radii = radii if end_radii is None else np.broadcast_to(np.asarray(end_radii, dtype=np.float64), (count,))
    axes = ends - starts
    axes = axes / np.maximum(np.linalg.norm(axes, axis=1, keepdims=True), 1e-9)
    helper = np.where(np.abs(axes[:, 2:]) > 0.9, (1.0, 0.0, 0.0), (0.0, 0.0, 1.0))
    first = np.cross(axes, helper)
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    second = np.cross(axes, first)
    angles = np.arange(sides) * 2 * np.pi / sides
    around = first[:, None] * np.cos(angles)[:, None] + second[:, None] * np.sin(angles)[:, None]
    rings = [
        starts[:, None] + around * radii[:, None, None],
        ends[:, None] + around * end_radii[:, None, None],
        starts[:, None],
        ends[:, None],
    ]
    vertices = np.concatenate(rings, axis=1)
    here, after = np.arange(sides), np.roll(np.arange(sides), -1)
    one = np.concatenate(
        [
            np.stack([here, after, after + sides], axis=1),
            np.stack([here, after + sides, here + sides], axis=1),
            np.stack([here, after, np.full(sides, 2 * sides)], axis=1),
            np.stack([here + sides, after + sides, np.full(sides, 2 * sides + 1)], axis=1),
        ]
    )
    triangles = one[None] + (2 * sides + 2) * np.arange(count)[:, None, None]
    return solid(vertices, triangles, material)


def tube(
    start: Vector, end: Vector, radius: float, material: str, sides: int = 6, end_radius: float | None = None
) -> Mesh:
    """One round bar, see `tubes`."""
    return tubes([start], [end], radius, material, sides, end_radius)


def polyline(points: ArrayLike, radius: float, material: str, sides: int = 4) -> Mesh:
    """Round bars from each of (N, 3) points to the next."""
    points = np.asarray(points, dtype=np.float64)
    return tubes(points[:-1], points[1:], radius, material, sides)


def wheel_ring(centre: ArrayLike, radius: float, thickness: float, material: str, segments: int = 14) -> Mesh:
    """An upright tyre with its axle along y, as a closed round bar of radius `thickness`."""
    angles = np.arange(segments + 1) * 2 * np.pi / segments
    circle = np.stack([np.cos(angles), np.zeros_like(angles), np.sin(angles)], axis=1) * radius
    return polyline(circle + np.asarray(centre), thickness, material)


def ellipsoid(radii: ArrayLike, centre: ArrayLike, material: str, num_rings: int = 5, num_sides: int = 8) -> Mesh:
    """An upright ellipsoid; radii and centre are (x, y, z)."""
    latitudes = np.linspace(-np.pi / 2, np.pi / 2, num_rings + 1)
    longitudes = np.arange(num_sides) * 2 * np.pi / num_sides
    level, height = np.cos(latitudes)[:, None], np.sin(latitudes)[:, None]
    directions = np.stack(
        [level * np.cos(longitudes), level * np.sin(longitudes), np.broadcast_to(height, (num_rings + 1, num_sides))],
        axis=-1,
    )
    return solid(
        directions * np.asarray(radii) + np.asarray(centre),
        grid_triangles(num_rings + 1, num_sides, wraps=True),
        material,
    )


def lump(
    radii: ArrayLike,
    centre: ArrayLike,
    roughness: float,
    random: np.random.Generator,
    material: str,
    squareness: float = 2.0,
    num_rings: int = 7,
    num_sides: int = 11,
) -> Mesh:
    """An uneven ellipsoid. squareness: 2 for an ellipsoid, more for shapes closer to a box. roughness: the radius
    varies by up to twice this share."""
    mesh = ellipsoid((1.0, 1.0, 1.0), (0.0, 0.0, 0.0), material, num_rings, num_sides)
    directions = mesh.vertices
    reach = (np.abs(directions) ** squareness).sum(axis=1) ** (-1 / squareness)
    reach = reach * (1 + random.uniform(-2, 2, len(directions)) * roughness)
    return replace(mesh, vertices=directions * reach[:, None] * np.asarray(radii) + np.asarray(centre))


def grid_triangles(num_rows: int, num_columns: int, wraps: bool = False) -> np.ndarray:
    """Int (T, 3): two triangles for each cell of a grid of vertices; vertices and cells are in row-major order. wraps:
    the last column is joined to the first."""
    columns = np.arange(num_columns if wraps else num_columns - 1)
    here = np.arange(num_rows - 1)[:, None] * num_columns + columns
    right = np.arange(num_rows - 1)[:, None] * num_columns + (columns + 1) % num_columns
    lower = np.stack([here, right, right + num_columns], axis=-1)
    upper = np.stack([here, right + num_columns, here + num_columns], axis=-1)
    return np.stack([lower, upper], axis=2).reshape(-1, 3)


def leaves(centres: ArrayLike, sizes: ArrayLike, random: np.random.Generator) -> Mesh:
    """N loose triangles, each a tuft of leaves, in random orientations. centres: (N, 3); sizes: edge length, scalar or
    (N,)."""
    centres = np.asarray(centres, dtype=np.float64).reshape(-1, 3)
    offsets = random.standard_normal((len(centres), 3, 3))
    offsets -= offsets.mean(axis=1, keepdims=True)
    offsets /= np.linalg.norm(offsets, axis=2, keepdims=True)
    scale = np.broadcast_to(np.asarray(sizes, dtype=np.float64), (len(centres),)) * 0.58
    vertices = centres[:, None] + offsets * scale[:, None, None]
    return solid(vertices, np.arange(3 * len(centres)).reshape(-1, 3), "leaf")
