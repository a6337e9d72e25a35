"""Kinds of streets: what one side of each looks like, and how they follow one another.

A new kind is a new function in `KINDS`.
"""

from dataclasses import replace

import numpy as np

from training.simulate.kinds import HALF_WIDTH_M, PARKING, ROAD, SIDEWALK, TERRAIN, Block, Side, SideStreet, Strip

_FIRST_HIGHWAY = 4  # a short drive meets streets first, where every class occurs
_CLOSEST_CAR_M = 1.4  # from the lanes' edge to the middle of a parked car, which must leave the lane free
_CLEAR_M = 19.0  # side streets keep this far from a block's ends
_GARDEN_BORDERS = ("hedge", "hedge", "hedge", "picket", "planks", "wall", "wall", "low_wall", "mesh", "bars", "none")


def _kerb(random):
    return random.choice((random.uniform(0.01, 0.04), random.uniform(0.04, 0.09), random.uniform(0.09, 0.15)))


def _beside_the_lanes(random, share_parking):
    """(strips, where cars park): a shoulder of road with or without parked cars, or a parking strip."""
    mode = random.random()
    if mode < share_parking:
        width = random.uniform(1.9, 2.4)
        margin = random.uniform(0.0, 0.6)
        material = random.choice(("paving", "asphalt", "gravel"), p=(0.55, 0.35, 0.1))
        return [_margin(margin), Strip("parking", width, PARKING, material, random.choice((0.0, 0.03)))], (
            margin + width / 2
        )
    if mode < share_parking + 0.35:
        width = random.uniform(1.8, 2.4)
        return [_margin(width)], max(width - random.uniform(0.9, 1.1), _CLOSEST_CAR_M)
    width = random.uniform(0.2, 1.0)
    return [_margin(width)], max(width + random.uniform(0.2, 0.9), _CLOSEST_CAR_M)


def _margin(width):
    """Road beyond the driven lane, where bicycles ride."""
    return Strip("margin", width, ROAD, "asphalt")


def _pavement(random, kerb, low=1.5, high=4.5):
    material = random.choice(("paving", "asphalt"), p=(0.8, 0.2))
    return Strip("sidewalk", random.uniform(low, high), SIDEWALK, material, kerb)


def residential(random):
    kerb = _kerb(random)
    strips, parked_at = _beside_the_lanes(random, 0.14)
    if random.random() < 0.3:
        strips.append(Strip("verge", random.uniform(0.8, 4.5), TERRAIN, "grass", kerb))
    if random.random() < 0.93:
        strips.append(_pavement(random, kerb))
    strips.append(Strip("outer", HALF_WIDTH_M, TERRAIN, "grass", kerb + random.uniform(0.0, 0.25)))
    return Side(
        strips=tuple(strips),
        parked_share=random.choice((0.0, random.uniform(0.0, 0.15), random.uniform(0.05, 0.3))),
        parked_at_m=parked_at,
        street_tree_spacing_m=random.choice((0.0, 0.0, 11.0, 17.0)),
        border=random.choice(_GARDEN_BORDERS),
        border_height_m=random.uniform(0.6, 2.2),
        building="house",
        setback_m=random.uniform(1.5, 8),
        garden_trees_per_100m=random.uniform(4, 14),
        bushes_per_100m=random.uniform(40, 150),
        outer_slope=random.uniform(-0.03, 0.06),
    )


def city(random):
    kerb = random.uniform(0.06, 0.15)
    strips, parked_at = _beside_the_lanes(random, 0.4)
    strips.append(_pavement(random, kerb, 2.0, 5.0))
    strips.append(Strip("outer", HALF_WIDTH_M, SIDEWALK, "paving", kerb + 0.01))
    return Side(
        strips=tuple(strips),
        parked_share=random.uniform(0.05, 0.3),
        parked_at_m=parked_at,
        lamp_spacing_m=25.0,
        sign_spacing_m=25.0,
        street_tree_spacing_m=random.choice((0.0, 9.0, 14.0)),
        border=random.choice(("none", "none", "bars", "wall", "hedge")),
        border_height_m=1.1,
        building="row",
        setback_m=random.choice((0.2, 0.2, 3.0)),
        garden_trees_per_100m=4.0,
        bushes_per_100m=random.uniform(5, 25),
        backdrop="buildings",
        num_persons=2.5,
        unevenness_m=0.03,
    )


def country(random):
    strips = [_margin(random.uniform(0.2, 1.2))]
    if random.random() < 0.5:
        strips.append(Strip("verge", random.uniform(0.5, 3.0), TERRAIN, "grass", 0.03))
        strips.append(_pavement(random, 0.03, 1.4, 2.6))
    strips.append(Strip("outer", HALF_WIDTH_M, TERRAIN, "grass", 0.04))
    return Side(
        strips=tuple(strips),
        lamp_spacing_m=60.0,
        sign_spacing_m=50.0,
        street_tree_spacing_m=random.choice((0.0, 0.0, 10.0, 20.0)),
        border=random.choice(("none", "none", "none", "hedge", "mesh", "rail", "picket")),
        border_height_m=random.uniform(0.9, 1.8),
        building=random.choice(("none", "none", "house")),
        setback_m=random.uniform(6, 15),
        garden_trees_per_100m=random.uniform(5, 40),
        bushes_per_100m=random.uniform(20, 150),
        backdrop_distance_m=random.uniform(8, 40),
        num_persons=0.4,
        outer_slope=random.uniform(-0.1, 0.2),
        unevenness_m=0.25,
        roughness_m=0.04,
    )


def highway(random):
    strips = [
        Strip("shoulder", random.uniform(1.0, 3.5), ROAD, "asphalt"),
        Strip("outer", HALF_WIDTH_M, TERRAIN, "grass", 0.0),
    ]
    return Side(
        strips=tuple(strips),
        lamp_spacing_m=60.0,
        sign_spacing_m=40.0,
        border=random.choice(("rail", "rail", "wall", "mesh")),
        border_height_m=random.uniform(0.9, 2.2),
        garden_trees_per_100m=random.uniform(10, 40),
        bushes_per_100m=random.uniform(40, 130),
        backdrop_distance_m=random.uniform(10, 40),
        num_persons=0.0,
        outer_slope=random.uniform(-0.15, 0.25),
        unevenness_m=0.2,
        roughness_m=0.04,
    )


def commercial(random):
    kerb = _kerb(random)
    strips = [
        _margin(random.uniform(0.2, 1.0)),
        _pavement(random, kerb, 1.8, 3.5),
        Strip("verge", random.uniform(1.0, 4.0), TERRAIN, "grass", kerb + 0.02),
        Strip("lot", random.uniform(10, 18), PARKING, random.choice(("paving", "asphalt")), 0.05),
        Strip("outer", HALF_WIDTH_M, TERRAIN, "grass", 0.05),
    ]
    return Side(
        strips=tuple(strips),
        parked_share=random.uniform(0.1, 0.4),
        street_tree_spacing_m=random.choice((0.0, 11.0)),
        building="hall",
        setback_m=random.uniform(0.5, 3),
        garden_trees_per_100m=5.0,
        bushes_per_100m=random.uniform(20, 60),
        num_persons=1.5,
        unevenness_m=0.05,
    )


def green(random):
    """A street past parks, banks and allotments: grass and plants close to the pavement, no buildings near."""
    kerb = _kerb(random)
    strips, parked_at = _beside_the_lanes(random, 0.1)
    if random.random() < 0.5:
        strips.append(Strip("verge", random.uniform(1.0, 7.0), TERRAIN, "grass", kerb))
    if random.random() < 0.8:
        strips.append(_pavement(random, kerb))
    strips.append(Strip("outer", HALF_WIDTH_M, TERRAIN, "grass", kerb + 0.03))
    return Side(
        strips=tuple(strips),
        parked_share=random.uniform(0.0, 0.2),
        parked_at_m=parked_at,
        street_tree_spacing_m=random.choice((0.0, 0.0, 8.0, 14.0)),
        border=random.choice(("hedge", "hedge", "mesh", "planks", "none", "none", "none", "none")),
        border_height_m=random.uniform(1.0, 2.6),
        garden_trees_per_100m=random.uniform(6, 45),
        bushes_per_100m=random.uniform(30, 160),
        backdrop_distance_m=random.uniform(8, 40),
        num_persons=0.8,
        outer_slope=random.uniform(-0.06, 0.25),
        unevenness_m=0.2,
        roughness_m=0.035,
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
    "residential": (0.58, 0.09, 0.07, 0.02, 0.06, 0.18),
    "city": (0.34, 0.30, 0.06, 0.04, 0.10, 0.16),
    "country": (0.25, 0.04, 0.32, 0.08, 0.05, 0.26),
    "highway": (0.12, 0.06, 0.20, 0.38, 0.06, 0.18),
}


def draw_block(random, index, start_m, end_m, flavour):
    """A block of a random kind; the sequence's flavour ("residential", "city", ...) says which kinds are common."""
    names = tuple(KINDS)
    kind = names[random.choice(len(names), p=_FAVOURED[flavour])]
    other = names[random.choice(len(names), p=_FAVOURED[flavour])] if random.random() < 0.5 else kind
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
        side_streets=tuple(_side_streets(random, start_m, end_m, (kind, other))),
        right_lanes=2 if is_wide else 1,
        left_lanes=2 if is_wide else 1,
        median_m=float(random.choice((1.2, 2.0, 3.0))) if is_wide or random.random() < 0.08 else 0.0,
        crossing_m=float(random.uniform(6, 10)),
        crown_m=float(random.uniform(0.0, 0.07)),
    )


def _side_streets(random, start_m, end_m, kinds):
    """Crossings and T-junctions: up to two places along the block, each with a street to one side or both."""
    places = []
    if "highway" not in kinds:
        places = [random.uniform(start_m + _CLEAR_M, (start_m + end_m) / 2 - 8)] if random.random() < 0.65 else []
        places += [random.uniform((start_m + end_m) / 2 + 8, end_m - _CLEAR_M)] if random.random() < 0.65 else []
    for s in places:
        sides = ((-1,), (1,), (-1, 1))[random.choice(3, p=(0.3, 0.3, 0.4))]
        slant = random.normal(0, 0.3)
        for side in sides:
            kind = kinds[0] if side < 0 else kinds[1]
            yield SideStreet(
                side=side,
                s_m=float(s + random.normal(0, 0.5)),
                half_width_m=float(random.uniform(1.6, 3.3)),
                slant=float(np.clip(slant * -side + random.normal(0, 0.05), -0.7, 0.7)),
                bend=float(random.normal(0, 0.006)),
                corner_m=float(random.uniform(2, 9)),
                before=_of_side_street(random, kind),
                beyond=_of_side_street(random, kind),
            )


def _of_side_street(random, kind):
    name = kind if kind in ("city", "country", "green") else "residential"
    return replace(KINDS[name](random), outer_slope=0.0, backdrop="none")


def flavour_of(seed):
    return tuple(_FAVOURED)[np.random.default_rng([seed, 2]).choice(4, p=(0.55, 0.15, 0.23, 0.07))]
