"""The ground of a block: a grid of cells along and across the street, each with its class, material and height."""

from dataclasses import dataclass

import numpy as np

from training.simulate.kinds import HALF_WIDTH_M, OTHER_GROUND, ROAD, SIDEWALK, TERRAIN
from training.simulate.materials import material_index
from training.simulate.mesh import Mesh
from training.simulate.shapes import grid_triangles

_KERB_M = 0.03
_SKIRT_M = 0.4  # the ends of a block reach down under its neighbours, so that no beam slips between


@dataclass(frozen=True)
class Patch:
    """A part of one side whose ground is something else (driveway, island, gravel bed)."""

    side: int
    from_s_m: float
    to_s_m: float
    from_m: float
    to_m: float
    raw_id: int
    material: str
    height_m: float = 0.0


def outer_height(side, distance_m):
    """Height above the last strip of a side where the ground rises or falls away, `distance_m` from the lanes."""
    start = side.edges()[-2]
    beyond = np.maximum(np.asarray(distance_m) - start - 1.0, 0)
    return side.outer_slope * np.minimum(beyond, 25) * np.minimum(beyond / 4, 1)


def slope_share(block, s):
    """How much of the outer slope there is at s: none at the block's ends, where side streets and neighbours join."""
    from_end = np.minimum(np.asarray(s) - block.start_m - block.crossing_m, block.end_m - s) - 2.5
    share = np.clip(from_end / 14, 0, 1)
    return share * share * (3 - 2 * share)


def ground_height(block, side_sign, s, distance_m):
    """Height over the street line at a distance outwards from the lanes' edge, without roughness."""
    side = block.side(side_sign)
    index = np.clip(np.searchsorted(side.edges(), distance_m, side="right") - 1, 0, len(side.strips) - 1)
    return side.strips[index].height_m + float(outer_height(side, distance_m) * slope_share(block, s))


def ground_mesh(block, route, random, patches=()):
    """The block's ground as a mesh in world coordinates."""
    along = _rows(block)
    across = _columns(block)
    heights, raw_ids, materials, is_outer, slopes = _profile(block, across)
    num_rows, num_columns = len(along), len(across)
    height = np.tile(heights, (num_rows, 1))
    raw = np.tile(raw_ids, (num_rows - 1, 1))
    material = np.tile(materials, (num_rows - 1, 1))
    middle_s, middle_d = (along[1:] + along[:-1]) / 2, (across[1:] + across[:-1]) / 2
    for patch in patches:
        rows, columns, row_knots, column_knots = _patch_cells(block, patch, along, across, middle_s, middle_d)
        raw[np.ix_(rows, columns)] = patch.raw_id
        material[np.ix_(rows, columns)] = material_index(patch.material)
        lift = patch.height_m - heights
        height[np.ix_(row_knots, column_knots)] += lift[column_knots]
    height += slope_share(block, along)[:, None] * slopes
    height += _roughness(block, random, along, across, raw, is_outer)
    _cut_crossing(block, along, across, middle_s, middle_d, height, raw, material)
    height[[0, -1]] -= _SKIRT_M
    brightness = _worn(random, raw)
    vertices = route.to_world(along[:, None], across[None, :], height).reshape(-1, 3)
    count = 2 * raw.size
    return Mesh(
        vertices=vertices,
        triangles=grid_triangles(num_rows, num_columns).astype(np.int32),
        materials=np.repeat(material.ravel(), 2).astype(np.uint8),
        raw_ids=np.repeat(raw.ravel(), 2).astype(np.uint16),
        instances=np.zeros(count, np.uint16),
        brightness=np.repeat(brightness.ravel(), 2).astype(np.float32),
    )


def _rows(block):
    """s of the grid's rows: doubled where the crossing's edge makes a kerb, and a skirt at both ends."""
    regular = np.arange(block.start_m, block.end_m, 1.0)
    edge = block.start_m + block.crossing_m
    skirts = [block.start_m - _KERB_M, block.end_m + _KERB_M]
    return np.unique(np.concatenate([regular, [edge, edge + _KERB_M, block.end_m], skirts]))


def _columns(block):
    """d of the grid's columns: strip edges, kerbs, lane markings, and steps that widen outwards."""
    right, left = block.lane_edge(-1), block.lane_edge(1)
    columns = [right, left, 0.0, block.median_m, *np.linspace(right, left, 9)]
    columns += [0.06, -0.06, right + 0.15, right + 0.27, left - 0.15, left - 0.27, block.median_m + _KERB_M]
    for sign, edge in ((-1, right), (1, left)):
        starts = block.side(sign).edges()[:-1]
        columns += [edge + sign * (start + offset) for start in starts for offset in (0, _KERB_M)]
        reach = starts[-1]
        while reach < HALF_WIDTH_M:
            reach += 0.8 if reach < starts[-1] + 12 else 3.0
            columns.append(edge + sign * reach)
    return np.unique(np.round(columns, 4))


def _profile(block, across):
    """Of the columns: heights, raw ids and materials of the cells between, where the outer strips are, their slopes."""
    heights = np.zeros(len(across))
    is_outer = np.zeros(len(across), dtype=bool)
    slopes = np.zeros(len(across))
    middle = (across[1:] + across[:-1]) / 2
    raw = np.full(len(middle), ROAD)
    material = np.full(len(middle), material_index("asphalt"))
    right, left = block.lane_edge(-1), block.lane_edge(1)
    is_marking = (np.abs(middle - right - 0.21) < 0.06) | (np.abs(middle - left + 0.21) < 0.06)
    if block.median_m > 0:
        inside = (middle > 0) & (middle < block.median_m)
        raw[inside], material[inside] = OTHER_GROUND, material_index("gravel")
        heights[(across > _KERB_M) & (across < block.median_m + _KERB_M / 2)] = 0.13
    else:
        is_marking |= np.abs(middle) < 0.06
    material[is_marking] = material_index("marking")
    for sign, edge in ((-1, right), (1, left)):
        side = block.side(sign)
        outward, outward_middle = sign * (across - edge), sign * (middle - edge)
        for strip, start in zip(side.strips, side.edges()[:-1], strict=True):
            cells, knots = outward_middle > start, outward > start + _KERB_M / 2
            raw[cells], material[cells], heights[knots] = strip.raw_id, material_index(strip.material), strip.height_m
        beyond = outward > side.edges()[-2] + 0.5
        is_outer |= beyond
        slopes[beyond] = outer_height(side, outward[beyond])
    return heights, raw, material, is_outer, slopes


def _patch_cells(block, patch, along, across, middle_s, middle_d):
    edge = block.lane_edge(patch.side)
    outward, outward_middle = patch.side * (across - edge), patch.side * (middle_d - edge)
    rows = (middle_s > patch.from_s_m) & (middle_s < patch.to_s_m)
    columns = (outward_middle > patch.from_m) & (outward_middle < patch.to_m)
    row_knots = (along > patch.from_s_m + 0.2) & (along < patch.to_s_m - 0.2)
    column_knots = (outward > patch.from_m + _KERB_M / 2) & (outward < patch.to_m + _KERB_M / 2)
    return rows, columns, row_knots, column_knots


def _roughness(block, random, along, across, raw, is_outer):
    """Bumps of natural ground; roads and pavements stay flat."""
    noise = random.standard_normal((len(along), len(across)))
    swell = np.sin(along[:, None] * random.uniform(0.1, 0.25) + random.uniform(0, 6)) * np.sin(
        across[None, :] * random.uniform(0.1, 0.3) + random.uniform(0, 6)
    )
    roughness = np.where(across < 0, block.right.roughness_m, block.left.roughness_m)[None, :]
    is_natural = np.zeros(noise.shape, dtype=bool)
    natural_cells = (raw == TERRAIN) | (raw == OTHER_GROUND)
    is_natural[1:-1, 1:-1] = (
        natural_cells[1:, 1:] & natural_cells[:-1, 1:] & natural_cells[1:, :-1] & natural_cells[:-1, :-1]
    )
    return is_natural * (noise * 0.35 + swell * 2.0 * is_outer[None, :]) * roughness


def _cut_crossing(block, along, across, middle_s, middle_d, height, raw, material):
    """The crossing at the block's start: a side street of asphalt with pavements beside it."""
    end = block.start_m + block.crossing_m
    far_end = block.end_m
    lanes = (across >= block.lane_edge(-1) - 1e-6) & (across <= block.lane_edge(1) + 1e-6)
    lane_cells = (middle_d > block.lane_edge(-1)) & (middle_d < block.lane_edge(1))
    rows, knots = middle_s < end, along < end + _KERB_M / 2
    raw[np.ix_(rows, lane_cells)], material[np.ix_(rows, lane_cells)] = ROAD, material_index("asphalt")
    height[np.ix_(knots, lanes)] = 0
    for sign, crosses in ((-1, block.crosses_right), (1, block.crosses_left)):
        if not crosses:
            continue
        side, edge = block.side(sign), block.lane_edge(sign)
        outside, outside_cells = sign * (across - edge) > 0, sign * (middle_d - edge) > 0
        raw[np.ix_(rows, outside_cells)], material[np.ix_(rows, outside_cells)] = ROAD, material_index("asphalt")
        height[np.ix_(knots, outside)] = 0
        sidewalk = side.span("sidewalk")
        beyond = side.edges()[-2] if sidewalk is None else sidewalk[1]
        for low, high in ((end, end + 2.2), (far_end - 2.2, far_end)):
            near = (middle_s > low) & (middle_s < high)
            near_knots = (along > low + _KERB_M / 2) & (along < high - _KERB_M / 2)
            far, far_cells = sign * (across - edge) > beyond, sign * (middle_d - edge) > beyond
            raw[np.ix_(near, far_cells)], material[np.ix_(near, far_cells)] = SIDEWALK, material_index("paving")
            height[np.ix_(near_knots, far)] = 0.12


def _worn(random, raw):
    """Brightness of each cell: patches of repaired asphalt, dry and green grass."""
    coarse = random.uniform(0.88, 1.12, (raw.shape[0] // 6 + 2, raw.shape[1] // 4 + 2))
    rows = np.arange(raw.shape[0]) // 6
    columns = np.arange(raw.shape[1]) // 4
    return coarse[np.ix_(rows, columns)]
