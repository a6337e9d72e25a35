"""Kinds of streets: what one side of each looks like, and how they follow one another.

A new kind is a new function in `KINDS`.
"""

from dataclasses import replace

import numpy as np

from training.simulate.street.kinds import (
    BAY_LENGTH_M,
    HALF_WIDTH_M,
    PARKING,
    ROAD,
    SIDEWALK,
    TERRAIN,
    Block,
    Side,
    SideStreet,
    Strip,
)

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


def parking(random):
    """A car park: an aisle to drive on between rows of parked cars, and a shop, trees or a fence at its far end."""
    material = random.choice(("asphalt", "paving"))
    bays = Strip("bays", 2 * BAY_LENGTH_M, PARKING, material, 0.0, is_bays=True)
    aisle = Strip("aisle", random.uniform(5.5, 6.5), PARKING, material)
    first = random.choice(("one row", "two rows"))
    strips = [_margin(1.9), replace(bays, width_m=BAY_LENGTH_M) if first == "one row" else bays]
    for _ in range(int(random.integers(1, 3))):
        strips += [aisle, bays]
    has_shop = random.random() < 0.5
    strips += [aisle, _pavement(random, 0.1, 2.0, 4.0)] if has_shop else []
    strips.append(Strip("outer", HALF_WIDTH_M, TERRAIN, "grass", 0.08))
    return Side(
        strips=tuple(strips),
        parked_share=random.uniform(0.25, 0.85),
        sign_spacing_m=30.0,
        border="none" if has_shop else random.choice(("hedge", "mesh", "planks", "wall", "none")),
        border_height_m=random.uniform(1.0, 2.0),
        building="hall" if has_shop else "none",
        setback_m=0.5,
        garden_trees_per_100m=random.uniform(4, 20),
        bushes_per_100m=random.uniform(10, 60),
        backdrop_distance_m=random.uniform(6, 20),
        num_persons=2.0,
        unevenness_m=0.0,
    )


KINDS = {
    "residential": residential,
    "city": city,
    "country": country,
    "highway": highway,
    "commercial": commercial,
    "green": green,
    "parking": parking,
}
_FAVOURED = {
    "residential": (0.58, 0.09, 0.07, 0.02, 0.06, 0.18),
    "city": (0.34, 0.30, 0.06, 0.04, 0.10, 0.16),
    "country": (0.25, 0.04, 0.32, 0.08, 0.05, 0.26),
    "highway": (0.12, 0.06, 0.20, 0.38, 0.06, 0.18),
}


def draw_block(random, index, start_m, end_m, shares, is_mixed=True):
    """A block of a random kind; `shares` {kind: how common it is}. In a mixed world highways begin further on."""
    names, probabilities = tuple(shares), tuple(shares.values())
    kind = names[random.choice(len(names), p=probabilities)]
    other = names[random.choice(len(names), p=probabilities)] if random.random() < 0.5 else kind
    if is_mixed and index < _FIRST_HIGHWAY and "highway" in (kind, other):
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
        median_m=_median_m(random, kind, is_wide),
        crossing_m=float(random.uniform(6, 10)),
        crown_m=0.0 if kind == "parking" else float(random.uniform(0.0, 0.07)),
    )


def _median_m(random, kind, is_wide):
    if kind == "parking":
        return 0.0
    return float(random.choice((1.2, 2.0, 3.0))) if is_wide or random.random() < 0.08 else 0.0


def _side_streets(random, start_m, end_m, kinds):
    """Crossings and T-junctions: up to two places along the block, each with a street to one side or both."""
    places = []
    if not {"highway", "parking"} & set(kinds):
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


def favoured_kinds(seed):
    """{kind of street: how common it is} in the mixed world of a seed."""
    flavour = tuple(_FAVOURED)[np.random.default_rng([seed, 2]).choice(4, p=(0.55, 0.15, 0.23, 0.07))]
    return dict(zip(KINDS, _FAVOURED[flavour], strict=False))  # no car parks but the small ones beside streets
