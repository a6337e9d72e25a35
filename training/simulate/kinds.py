"""Kinds of streets: the cross-section of one side of the road and what may stand there.

A new kind is a new function in `KINDS`; what its numbers mean is applied by `ground` and `populate`.
"""

from dataclasses import dataclass, field

import numpy as np

ROAD, PARKING, SIDEWALK, OTHER_GROUND, TERRAIN = 40, 44, 48, 49, 72
LANE_WIDTH_M = 3.4
_FIRST_HIGHWAY = 4  # a short drive meets streets first, where every class occurs
HALF_WIDTH_M = 75.0
"""How far a block reaches to both sides."""


@dataclass(frozen=True)
class Strip:
    """Ground that runs along the street."""

    name: str
    width_m: float
    raw_id: int
    material: str
    height_m: float = 0.0


@dataclass(frozen=True)
class Side:
    """One side of a block, from the edge of the driven lanes outwards. The last strip runs to the world's edge."""

    strips: tuple[Strip, ...]
    parked_share: float = 0.0
    lamp_spacing_m: float = 28.0
    sign_spacing_m: float = 30.0
    street_tree_spacing_m: float = 0.0
    border: str = "none"
    border_height_m: float = 1.2
    building: str = "none"
    """none, house, row or hall."""
    setback_m: float = 6.0
    garden_trees_per_100m: float = 4.0
    bushes_per_100m: float = 6.0
    backdrop: str = "trees"
    backdrop_distance_m: float = 38.0
    num_persons: float = 2.0
    outer_slope: float = 0.0
    roughness_m: float = 0.05

    def edges(self):
        """Distances from the lanes' edge at which the strips start, and the end of the last."""
        return np.concatenate([[0], np.cumsum([strip.width_m for strip in self.strips])])

    def span(self, name):
        """(start, end, height) of the named strip, or None."""
        for strip, start, end in zip(self.strips, self.edges()[:-1], self.edges()[1:], strict=True):
            if strip.name == name:
                return start, end, strip.height_m
        return None


@dataclass(frozen=True)
class Block:
    """A stretch of street between two crossings."""

    index: int
    start_m: float
    end_m: float
    kind: str
    right: Side
    left: Side
    right_lanes: int = 1
    left_lanes: int = 1
    median_m: float = 0.0
    crosses_right: bool = True
    crosses_left: bool = True
    crossing_m: float = field(default=8.0)

    def lane_edge(self, side):
        """d of the edge of the driven lanes; side is +1 for left, -1 for right."""
        if side < 0:
            return -LANE_WIDTH_M * self.right_lanes
        return self.median_m + LANE_WIDTH_M * self.left_lanes

    def side(self, side):
        return self.right if side < 0 else self.left


def _margin(random):
    """Road beyond the driven lane, where bicycles ride."""
    return Strip("margin", random.uniform(0.5, 1.3), ROAD, "asphalt")


def residential(random):
    kerb = 0.12
    strips = [_margin(random)]
    if random.random() < 0.45:
        strips.append(Strip("parking", 2.2, PARKING, "paving"))
    if random.random() < 0.4:
        strips.append(Strip("verge", random.uniform(1.2, 2.2), TERRAIN, "grass", kerb))
    strips.append(Strip("sidewalk", random.uniform(2.2, 4.8), SIDEWALK, "paving", kerb))
    strips.append(Strip("outer", HALF_WIDTH_M, TERRAIN, "grass", kerb + 0.03))
    return Side(
        strips=tuple(strips),
        parked_share=random.uniform(0.15, 0.6),
        street_tree_spacing_m=random.choice((0.0, 9.0, 14.0)),
        border=random.choice(("picket", "planks", "wall", "hedge", "hedge", "mesh", "bars", "none")),
        border_height_m=random.uniform(0.8, 1.9),
        building="house",
        setback_m=random.uniform(2, 6),
        garden_trees_per_100m=random.uniform(8, 22),
        bushes_per_100m=random.uniform(15, 60),
        num_persons=1.5,
        outer_slope=random.uniform(-0.02, 0.05),
    )


def city(random):
    strips = [_margin(random)]
    if random.random() < 0.5:
        strips.append(Strip("parking", 2.2, PARKING, "paving"))
    strips.append(Strip("sidewalk", random.uniform(2.8, 5.0), SIDEWALK, "paving", 0.13))
    strips.append(Strip("outer", HALF_WIDTH_M, SIDEWALK, "paving", 0.14))
    return Side(
        strips=tuple(strips),
        parked_share=random.uniform(0.35, 0.85),
        lamp_spacing_m=22.0,
        sign_spacing_m=20.0,
        street_tree_spacing_m=random.choice((0.0, 9.0, 14.0)),
        border=random.choice(("none", "none", "bars", "wall")),
        border_height_m=1.1,
        building="row",
        setback_m=random.choice((0.2, 0.2, 3.0)),
        garden_trees_per_100m=6.0,
        bushes_per_100m=random.uniform(10, 30),
        backdrop="buildings",
        num_persons=3.5,
    )


def country(random):
    strips = [_margin(random)]
    if random.random() < 0.35:
        strips.append(Strip("sidewalk", 2.0, SIDEWALK, "paving", 0.1))
    strips.append(Strip("outer", HALF_WIDTH_M, TERRAIN, "grass", 0.02))
    return Side(
        strips=tuple(strips),
        lamp_spacing_m=45.0,
        sign_spacing_m=35.0,
        street_tree_spacing_m=random.choice((0.0, 10.0, 20.0)),
        border=random.choice(("none", "none", "hedge", "mesh", "rail", "picket")),
        border_height_m=random.uniform(0.9, 1.5),
        building=random.choice(("none", "none", "house")),
        setback_m=random.uniform(6, 15),
        garden_trees_per_100m=random.uniform(15, 50),
        bushes_per_100m=random.uniform(60, 150),
        backdrop_distance_m=random.uniform(14, 45),
        num_persons=0.6,
        outer_slope=random.uniform(-0.1, 0.16),
        roughness_m=0.12,
    )


def highway(random):
    strips = [
        Strip("shoulder", random.uniform(1.0, 2.5), ROAD, "asphalt"),
        Strip("outer", HALF_WIDTH_M, TERRAIN, "grass", 0.0),
    ]
    return Side(
        strips=tuple(strips),
        lamp_spacing_m=40.0,
        sign_spacing_m=28.0,
        border=random.choice(("rail", "rail", "wall", "mesh")),
        border_height_m=random.uniform(0.9, 2.2),
        garden_trees_per_100m=random.uniform(10, 40),
        bushes_per_100m=random.uniform(40, 130),
        backdrop_distance_m=random.uniform(12, 40),
        num_persons=0.0,
        outer_slope=random.uniform(-0.15, 0.22),
        roughness_m=0.1,
    )


def commercial(random):
    strips = [
        _margin(random),
        Strip("sidewalk", random.uniform(2.0, 4.5), SIDEWALK, "paving", 0.12),
        Strip("verge", random.uniform(1.0, 3.0), TERRAIN, "grass", 0.14),
        Strip("lot", random.uniform(12, 18), PARKING, "paving", 0.05),
        Strip("outer", HALF_WIDTH_M, TERRAIN, "grass", 0.05),
    ]
    return Side(
        strips=tuple(strips),
        parked_share=random.uniform(0.3, 0.65),
        sign_spacing_m=25.0,
        street_tree_spacing_m=random.choice((0.0, 11.0)),
        building="hall",
        setback_m=random.uniform(0.5, 3),
        garden_trees_per_100m=5.0,
        bushes_per_100m=random.uniform(20, 60),
        num_persons=2.0,
    )


def green(random):
    """A street past parks and allotments: plants close to the pavement, no buildings in sight."""
    strips = [_margin(random), Strip("sidewalk", random.uniform(2.2, 4.8), SIDEWALK, "paving", 0.12)]
    if random.random() < 0.5:
        strips.insert(1, Strip("verge", random.uniform(1.0, 4.0), TERRAIN, "grass", 0.12))
    strips.append(Strip("outer", HALF_WIDTH_M, TERRAIN, "grass", 0.15))
    return Side(
        strips=tuple(strips),
        street_tree_spacing_m=random.choice((0.0, 8.0, 12.0)),
        border=random.choice(("hedge", "hedge", "mesh", "planks", "none", "none")),
        border_height_m=random.uniform(1.0, 2.2),
        garden_trees_per_100m=random.uniform(20, 60),
        bushes_per_100m=random.uniform(50, 160),
        backdrop_distance_m=random.uniform(10, 40),
        num_persons=1.2,
        outer_slope=random.uniform(-0.06, 0.14),
        roughness_m=0.08,
    )


KINDS = {
    "residential": residential,
    "city": city,
    "country": country,
    "highway": highway,
    "commercial": commercial,
    "green": green,
}
_FAVOURED = {
    "residential": (0.45, 0.13, 0.10, 0.04, 0.07, 0.21),
    "city": (0.22, 0.36, 0.06, 0.08, 0.12, 0.16),
    "country": (0.22, 0.06, 0.34, 0.08, 0.06, 0.24),
    "highway": (0.12, 0.06, 0.18, 0.40, 0.08, 0.16),
}


def draw_block(random, index, start_m, end_m, flavour):
    """A block of a random kind; the sequence's flavour ("residential", "city", ...) says which kinds are common."""
    names = tuple(KINDS)
    kind = names[random.choice(len(names), p=_FAVOURED[flavour])]
    other = names[random.choice(len(names), p=_FAVOURED[flavour])] if random.random() < 0.4 else kind
    if index < _FIRST_HIGHWAY and "highway" in (kind, other):
        kind = other = "residential"
    if "highway" in (kind, other):
        kind = other = "highway"
    is_wide = kind == "highway" or (kind in ("city", "commercial") and random.random() < 0.2)
    return Block(
        index=index,
        start_m=start_m,
        end_m=end_m,
        kind=kind,
        right=KINDS[kind](random),
        left=KINDS[other](random),
        right_lanes=2 if is_wide else 1,
        left_lanes=2 if is_wide else 1,
        median_m=float(random.choice((1.2, 2.0, 3.0))) if is_wide or random.random() < 0.12 else 0.0,
        crosses_right=bool(random.random() < (0.2 if kind == "highway" else 0.55)),
        crosses_left=bool(random.random() < (0.2 if kind == "highway" else 0.55)),
        crossing_m=float(random.uniform(6, 10)),
    )


def flavour_of(seed):
    return tuple(_FAVOURED)[np.random.default_rng([seed, 2]).choice(4, p=(0.42, 0.28, 0.23, 0.07))]
