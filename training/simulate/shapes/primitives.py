"""Primitive shapes as meshes; everything in the world is put together from these."""

from dataclasses import replace

import numpy as np

from training.simulate.shapes.mesh import solid

_BOX_TRIANGLES = np.array(
    [
        (0, 1, 2), (0, 2, 3), (4, 6, 5), (4, 7, 6), (0, 4, 5), (0, 5, 1),
        (1, 5, 6), (1, 6, 2), (2, 6, 7), (2, 7, 3), (3, 7, 4), (3, 4, 0),
    ]
)  # fmt: skip


def frustum(bottom, top, material):
    """A block between two level rectangles, each given as (x0, x1, y0, y1, z)."""
    corners = []
    for x0, x1, y0, y1, z in (bottom, top):
        corners += [(x0, y0, z), (x1, y0, z), (x1, y1, z), (x0, y1, z)]
    return solid(corners, _BOX_TRIANGLES, material)


def box(size, centre, material):
    """An upright box; `size` and `centre` are (x, y, z)."""
    (lx, ly, lz), (x, y, z) = size, centre
    rectangle = (x - lx / 2, x + lx / 2, y - ly / 2, y + ly / 2)
    return frustum((*rectangle, z - lz / 2), (*rectangle, z + lz / 2), material)


def boxes(sizes, centres, material):
    """Many upright boxes as one mesh; (N, 3) each."""
    sizes, centres = np.asarray(sizes, dtype=np.float64).reshape(-1, 3), np.asarray(centres).reshape(-1, 3)
    unit = np.array([(x, y, z) for z in (-0.5, 0.5) for x, y in ((-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5))])
    vertices = (unit[None] * sizes[:, None] + centres[:, None]).reshape(-1, 3)
    return solid(vertices, (_BOX_TRIANGLES[None] + 8 * np.arange(len(sizes))[:, None, None]), material)


def prism(profile_xz, width, material, top_width=None):
    """A side view (n, 2) in x and z, star-shaped about its mean, drawn out along y; narrower at the top if asked."""
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


def tubes(starts, ends, radii, material, sides=6, end_radii=None):
    """Round bars between (N, 3) and (N, 3), closed at both ends, as one mesh; radii scalar or (N,)."""
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


def tube(start, end, radius, material, sides=6, end_radius=None):
    return tubes([start], [end], radius, material, sides, end_radius)


def polyline(points, radius, material, sides=4):
    """Round bars through (N, 3) points."""
    points = np.asarray(points, dtype=np.float64)
    return tubes(points[:-1], points[1:], radius, material, sides)


def wheel_ring(centre, radius, thickness, material, segments=14):
    """An upright tyre, its axle along y, hollow inside."""
    angles = np.arange(segments + 1) * 2 * np.pi / segments
    circle = np.stack([np.cos(angles), np.zeros_like(angles), np.sin(angles)], axis=1) * radius
    return polyline(circle + np.asarray(centre), thickness, material)


def ellipsoid(radii, centre, material, num_rings=5, num_sides=8):
    latitudes = np.linspace(-np.pi / 2, np.pi / 2, num_rings + 1)
    longitudes = np.arange(num_sides) * 2 * np.pi / num_sides
    level, height = np.cos(latitudes)[:, None], np.sin(latitudes)[:, None]
    directions = np.stack(
        [level * np.cos(longitudes), level * np.sin(longitudes), np.broadcast_to(height, (num_rings + 1, num_sides))],
        axis=-1,
    )
    return solid(directions * radii + centre, grid_triangles(num_rings + 1, num_sides, wraps=True), material)


def lump(radii, centre, roughness, random, material, squareness=2.0, num_rings=7, num_sides=11):
    """An uneven ellipsoid, the more like a box the larger `squareness` is; its surface strays by `roughness`."""
    mesh = ellipsoid((1.0, 1.0, 1.0), (0.0, 0.0, 0.0), material, num_rings, num_sides)
    directions = mesh.vertices
    reach = (np.abs(directions) ** squareness).sum(axis=1) ** (-1 / squareness)
    reach = reach * (1 + random.uniform(-2, 2, len(directions)) * roughness)
    return replace(mesh, vertices=directions * reach[:, None] * radii + centre)


def grid_triangles(num_rows, num_columns, wraps=False):
    """(T, 3) triangles over a grid of vertices in row-major order, two a cell: cell by cell, row-major."""
    columns = np.arange(num_columns if wraps else num_columns - 1)
    here = np.arange(num_rows - 1)[:, None] * num_columns + columns
    right = np.arange(num_rows - 1)[:, None] * num_columns + (columns + 1) % num_columns
    lower = np.stack([here, right, right + num_columns], axis=-1)
    upper = np.stack([here, right + num_columns, here + num_columns], axis=-1)
    return np.stack([lower, upper], axis=2).reshape(-1, 3)


def leaves(centres, sizes, random, material="leaf"):
    """Loose triangles (tufts of leaves) of the given edge lengths around (N, 3), in random directions."""
    centres = np.asarray(centres, dtype=np.float64).reshape(-1, 3)
    offsets = random.standard_normal((len(centres), 3, 3))
    offsets -= offsets.mean(axis=1, keepdims=True)
    offsets /= np.linalg.norm(offsets, axis=2, keepdims=True)
    scale = np.broadcast_to(np.asarray(sizes, dtype=np.float64), (len(centres),)) * 0.58
    vertices = centres[:, None] + offsets * scale[:, None, None]
    return solid(vertices, np.arange(3 * len(centres)).reshape(-1, 3), material)
