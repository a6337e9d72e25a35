"""The ground of a block: a grid of cells along and across the street, each with its class, material and height."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from training.simulate.sensor.materials import material_index
from training.simulate.shapes.mesh import Mesh
from training.simulate.shapes.primitives import grid_triangles
from training.simulate.street.frontage import Frontage
from training.simulate.street.layout import (
    BAY_LINE_M,
    HALF_WIDTH_M,
    OTHER_GROUND,
    PARKING,
    ROAD,
    SIDEWALK,
    TERRAIN,
    Block,
    Side,
)
from training.simulate.street.route import Route

_KERB_M = 0.03  # width of the slope of a kerb
_SKIRT_M = 0.4  # depth to which a block's ends reach below its neighbours, so that no beam passes between them
_CELL_M = 0.5


@dataclass(frozen=True)
class Patch:
    """A rectangle of a frontage with a ground of its own: a driveway, an island, a gravel bed. Roads are not
    changed."""

    front: Frontage
    from_s_m: float
    to_s_m: float
    """Range along the frontage's street."""
    from_m: float
    to_m: float
    """Range of distances from the edge of its lanes."""
    raw_id: int
    material: str
    height_m: float = 0.0


def ground_height(block: Block, side_sign: int, s: float, distance_m: float) -> float:
    """Metres above the street's line at s, `distance_m` outwards from the edge of the lanes; without roughness.
    side_sign: +1 left, -1 right."""
    s_1, u_1 = np.array([s], dtype=float), np.array([distance_m], dtype=float)
    heights_1 = _strips_at(block, side_sign, s_1, u_1, 0.0)[2]
    return float((heights_1 + _rise(block, side_sign, s_1, u_1))[0])


def ground_mesh(block: Block, route: Route, random: np.random.Generator, patches: Sequence[Patch] = ()) -> Mesh:
    """The block's ground as a mesh in world coordinates. `random` draws its roughness and brightness."""
    along, across = _rows(block), _columns(block)
    middle_s, middle_d = (along[1:] + along[:-1]) / 2, (across[1:] + across[:-1]) / 2
    raw = np.full((len(middle_s), len(middle_d)), ROAD)
    material = np.full(raw.shape, material_index("asphalt"))
    height = np.zeros((len(along), len(across)))
    _paint_lanes(block, along, across, middle_s, middle_d, height, raw, material)
    for sign in (-1, 1):
        edge = block.lane_edge(sign)
        cells, knots = sign * (middle_d - edge) > 0, sign * (across - edge) > 0
        s, u = np.broadcast_arrays(middle_s[:, None], sign * (middle_d[cells] - edge)[None])
        raw[:, cells], material[:, cells], _ = _strips_at(block, sign, s, u, 0.0)
        s, u = np.broadcast_arrays(along[:, None], sign * (across[knots] - edge)[None])
        height[:, knots] = _strips_at(block, sign, s, u, _KERB_M / 2)[2] + _rise(block, sign, s, u)
    _paint_bays(block, middle_s, middle_d, material)
    for patch in patches:
        _write_patch(block, patch, along, across, middle_s, middle_d, height, raw, material)
    height += _roughness(block, random, across, raw)
    height[[0, -1]] -= _SKIRT_M
    brightness = _patchy_brightness(random, raw)
    vertices = route.to_world(along[:, None], across[None, :], height).reshape(-1, 3)
    count = 2 * raw.size
    return Mesh(
        vertices=vertices,
        triangles=grid_triangles(len(along), len(across)).astype(np.int32),
        materials=np.repeat(material.ravel(), 2).astype(np.uint8),
        raw_ids=np.repeat(raw.ravel(), 2).astype(np.uint16),
        instances=np.zeros(count, np.uint16),
        brightness=np.repeat(brightness.ravel(), 2).astype(np.float32),
    )


def _rows(block: Block) -> np.ndarray:
    """s of the grid's rows, with one more row at both ends for the skirts."""
    count = int(np.ceil((block.end_m - block.start_m) / _CELL_M))
    regular = np.linspace(block.start_m, block.end_m, count + 1)
    edge = block.start_m + block.crossing_m
    skirts = [block.start_m - _KERB_M, block.end_m + _KERB_M]
    lines = block.bay_lines()
    return np.unique(np.concatenate([regular, [edge, edge + _KERB_M], skirts, lines, lines + BAY_LINE_M]))


def _columns(block: Block) -> np.ndarray:
    """d of the grid's columns: edges of strips, kerbs, lane markings, and steps that grow outwards."""
    right, left = block.lane_edge(-1), block.lane_edge(1)
    columns = [right, left, 0.0, block.median_m, *np.linspace(right, left, 13)]
    columns += [0.06, -0.06, right + 0.15, right + 0.27, left - 0.15, left - 0.27, block.median_m + _KERB_M]
    for sign, edge in ((-1, right), (1, left)):
        starts = block.side(sign).edges()[:-1]
        columns += [edge + sign * (start + offset) for start in starts for offset in (0, _KERB_M)]
        reach = 0.0
        while reach < HALF_WIDTH_M:
            reach += _CELL_M if reach < 16 else (1.0 if reach < 36 else 2.5)
            columns.append(edge + sign * reach)
    return np.unique(np.round(columns, 4))


def _strips_at(
    block: Block, side_sign: int, s: np.ndarray, u: np.ndarray, kerb_m: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Raw ids, materials and heights at places (s, u) beside the lanes, arrays of one shape.

    A place belongs to the strips of the nearest road, so that pavements bend round the corners of side streets.
    `kerb_m` moves the strips outwards.
    """
    main = block.side(side_sign)
    own = u - main.road_m()
    raw, material, height = _profile(main, u - kerb_m)
    nearest = np.full(s.shape, np.inf)
    for street in block.streets(side_sign):
        offset = street.offset(s, u)
        for sign, style in street.sides():
            from_edge = sign * offset - street.half_width_m
            across = from_edge - style.road_m()
            is_here = (sign * offset >= 0) & (across < nearest)
            nearest = np.where(is_here, across, nearest)
            joined = _rounded_minimum(own, across, street.corner_m)
            is_of_street = is_here & (across < own)
            is_of_main = is_here & ~is_of_street & (joined < own)
            for mask, here, distance in (
                (is_of_street, style, np.where(joined < across, joined + style.road_m(), from_edge)),
                (is_of_main, main, joined + main.road_m()),
            ):
                found = _profile(here, distance[mask] - kerb_m)
                raw[mask], material[mask], height[mask] = found
            is_corner = is_here & (np.maximum(own, across) < street.corner_m + 3) & (raw == PARKING)
            raw[is_corner], material[is_corner] = SIDEWALK, material_index("paving")
    return raw, material, height


def _profile(style: Side, distance: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Raw ids, materials and heights at distances from the edge of the lanes; below 0 there is road."""
    index = np.clip(np.searchsorted(style.edges(), distance, side="right") - 1, -1, len(style.strips) - 1)
    strips = (*style.strips, None)  # -1 is the road itself
    raw = np.array([strip.raw_id if strip else ROAD for strip in strips])
    material = np.array([material_index(strip.material if strip else "asphalt") for strip in strips])
    height = np.array([strip.height_m if strip else 0.0 for strip in strips])
    return raw[index], material[index], height[index]


def _rounded_minimum(a: np.ndarray, b: np.ndarray, radius: float) -> np.ndarray:
    """Distance from the union of two roads whose inner corners are rounded, given the distances from each."""
    is_corner = (a < radius) & (b < radius)
    inner = radius - np.hypot(radius - a, radius - b)
    return np.where(is_corner, inner, np.minimum(a, b))


def _rise(block: Block, side_sign: int, s: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Height of the terrain beside the street, on which strips and patches lie: slope, swells, camber."""
    side = block.side(side_sign)
    beyond = np.maximum(u - side.road_m() - 2.0, 0)
    slope = side.outer_slope * np.minimum(beyond, 25) * np.minimum(beyond / 5, 1)
    swell = np.sin(0.17 * s + 1.3 * side_sign) * np.sin(0.13 * u + 0.07 * s) + 0.4 * np.sin(0.31 * s - 0.22 * u)
    camber = -0.75 * block.crown_m
    return _share(block, s) * (camber + slope + side.unevenness_m * swell * np.minimum(beyond / 8, 1))


def _share(block: Block, s: np.ndarray) -> np.ndarray:
    """How much of the terrain applies at s: 0 at the block's ends, where neighbours join, 1 further inside."""
    share = np.clip((np.minimum(s - block.start_m, block.end_m - s) - 2.5) / 14, 0, 1)
    return share * share * (3 - 2 * share)


def _paint_lanes(
    block: Block,
    along: np.ndarray,
    across: np.ndarray,
    middle_s: np.ndarray,
    middle_d: np.ndarray,
    height: np.ndarray,
    raw: np.ndarray,
    material: np.ndarray,
) -> None:
    """Writes markings, crown and median of the lanes into the arrays. Height 0 is that of the ego vehicle's lane."""
    right, left = block.lane_edge(-1), block.lane_edge(1)
    lanes = (across >= right - 1e-6) & (across <= left + 1e-6)
    middle, half = (right + left) / 2, (left - right) / 2
    crown = 0.25 - ((across[lanes] - middle) / half) ** 2
    height[:, lanes] = block.crown_m * crown * _share(block, along)[:, None]
    is_marking = (np.abs(middle_d - right - 0.21) < 0.06) | (np.abs(middle_d - left + 0.21) < 0.06)
    if block.median_m > 0:
        rows, knots = middle_s > block.start_m + block.crossing_m, along > block.start_m + block.crossing_m + 0.02
        inside = (middle_d > 0) & (middle_d < block.median_m)
        raw[np.ix_(rows, inside)] = OTHER_GROUND
        material[np.ix_(rows, inside)] = material_index("gravel")
        height[np.ix_(knots, (across > _KERB_M) & (across < block.median_m + _KERB_M / 2))] = 0.13
    else:
        is_marking |= np.abs(middle_d) < 0.06
    if block.index % 3:  # quiet streets have no markings
        is_marking &= False
    material[:, is_marking] = material_index("marking")


def _paint_bays(block: Block, middle_s: np.ndarray, middle_d: np.ndarray, material: np.ndarray) -> None:
    """Writes the lines between the bays of a car park."""
    lines = block.bay_lines()
    if not len(lines):
        return
    since_line = middle_s - lines[np.clip(np.searchsorted(lines, middle_s) - 1, 0, None)]
    is_line = (since_line > 0) & (since_line < BAY_LINE_M)
    for sign in (-1, 1):
        u = sign * (middle_d - block.lane_edge(sign))
        for start, end in block.side(sign).bays():
            material[np.ix_(is_line, (u > start) & (u < end))] = material_index("marking")


def _write_patch(
    block: Block,
    patch: Patch,
    along: np.ndarray,
    across: np.ndarray,
    middle_s: np.ndarray,
    middle_d: np.ndarray,
    height: np.ndarray,
    raw: np.ndarray,
    material: np.ndarray,
) -> None:
    """Writes a patch into the arrays."""
    side, edge = patch.front.side, block.lane_edge(patch.front.side)

    def inside(s: np.ndarray, d: np.ndarray, inset: float) -> np.ndarray:
        u = side * (d - edge)
        place, distance = patch.front.coordinates(s[:, None], u[None])
        return (
            (u[None] > 0)
            & (place > patch.from_s_m + inset)
            & (place < patch.to_s_m - inset)
            & (distance > patch.from_m + inset)
            & (distance < patch.to_m + inset)
        )

    cells = inside(middle_s, middle_d, 0.0) & (raw != ROAD)
    raw[cells], material[cells] = patch.raw_id, material_index(patch.material)
    knots = inside(along, across, 0.02)
    covered = np.zeros(knots.shape, dtype=bool)
    covered[:-1, :-1] = cells  # knots at the edge of a road keep their height
    covered[1:, 1:] &= cells
    knots &= covered
    s, u = np.broadcast_arrays(along[:, None], side * (across - edge)[None])
    height[knots] = patch.height_m + _rise(block, side, s[knots], u[knots])


def _roughness(block: Block, random: np.random.Generator, across: np.ndarray, raw: np.ndarray) -> np.ndarray:
    """Random height of each knot: bumps of natural ground; roads and pavements are nearly flat."""
    shape = (raw.shape[0] + 1, raw.shape[1] + 1)
    noise = random.standard_normal(shape)
    roughness = np.where(across < 0, block.right.roughness_m, block.left.roughness_m)[None, :]
    is_natural, is_walked = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)
    for mask, ids in ((is_natural, (TERRAIN, OTHER_GROUND)), (is_walked, (SIDEWALK, PARKING))):
        cells = np.isin(raw, ids)
        mask[1:-1, 1:-1] = cells[1:, 1:] & cells[:-1, 1:] & cells[1:, :-1] & cells[:-1, :-1]
    return noise * np.where(is_natural, roughness, np.where(is_walked, 0.006, 0.003))


def _patchy_brightness(random: np.random.Generator, raw: np.ndarray) -> np.ndarray:
    """Brightness of each cell, constant over patches, as of repaired asphalt or dry grass."""
    coarse = random.uniform(0.85, 1.15, (raw.shape[0] // 12 + 2, raw.shape[1] // 6 + 2))
    rows = np.arange(raw.shape[0]) // 12
    columns = np.arange(raw.shape[1]) // 6
    return coarse[np.ix_(rows, columns)]
