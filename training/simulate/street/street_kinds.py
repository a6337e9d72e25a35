"""Kinds of streets: a function for each draws what one side looks like. A new kind is a new function in `KINDS`."""

from dataclasses import replace

import numpy as np

from training.simulate.street.layout import (
    BAY_LENGTH_M,
    HALF_WIDTH_M,
    PARKING,
    ROAD,
    SIDEWALK,
    TERRAIN,
    Side,
    Strip,
)

_CLOSEST_CAR_M = 1.4  # least distance from the lanes' edge to the middle of a parked car: the lane stays free
_GARDEN_FENCES = ("hedge", "hedge", "hedge", "picket", "planks", "wall", "wall", "low_wall", "mesh", "bars", "none")


def _kerb(random: np.random.Generator) -> float:
    """Height of the kerb in metres."""
    return random.choice((random.uniform(0.01, 0.04), random.uniform(0.04, 0.09), random.uniform(0.09, 0.15)))


def _beside_the_lanes(random: np.random.Generator, share_parking: float) -> tuple[list[Strip], float]:
    """(strips, `Side.parked_at_m`): a margin of road or, for `share_parking` of the streets, a strip for parking."""
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


def _margin(width: float) -> Strip:
    """Road beside the driven lane, where bicycles ride."""
    return Strip("margin", width, ROAD, "asphalt")


def _pavement(random: np.random.Generator, kerb: float, low: float = 1.5, high: float = 4.5) -> Strip:
    material = random.choice(("paving", "asphalt"), p=(0.8, 0.2))
    return Strip("sidewalk", random.uniform(low, high), SIDEWALK, material, kerb)


def residential(random: np.random.Generator) -> Side:
    """Houses with gardens behind fences or hedges."""
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
        fence=random.choice(_GARDEN_FENCES),
        fence_height_m=random.uniform(0.6, 2.2),
        building="house",
        setback_m=random.uniform(1.5, 8),
        garden_trees_per_100m=random.uniform(4, 14),
        bushes_per_100m=random.uniform(40, 150),
        outer_slope=random.uniform(-0.03, 0.06),
    )


def city(random: np.random.Generator) -> Side:
    """Rows of houses on a wide pavement."""
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
        fence=random.choice(("none", "none", "bars", "wall", "hedge")),
        fence_height_m=1.1,
        building="row",
        setback_m=random.choice((0.2, 0.2, 3.0)),
        garden_trees_per_100m=4.0,
        bushes_per_100m=random.uniform(5, 25),
        backdrop="buildings",
        num_persons=2.5,
        unevenness_m=0.03,
    )


def country(random: np.random.Generator) -> Side:
    """Fields and trees, few houses, often no pavement."""
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
        fence=random.choice(("none", "none", "none", "hedge", "mesh", "rail", "picket")),
        fence_height_m=random.uniform(0.9, 1.8),
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


def highway(random: np.random.Generator) -> Side:
    """A shoulder, a guard rail or wall, and slopes with trees and bushes."""
    strips = [
        Strip("shoulder", random.uniform(1.0, 3.5), ROAD, "asphalt"),
        Strip("outer", HALF_WIDTH_M, TERRAIN, "grass", 0.0),
    ]
    return Side(
        strips=tuple(strips),
        lamp_spacing_m=60.0,
        sign_spacing_m=40.0,
        fence=random.choice(("rail", "rail", "wall", "mesh")),
        fence_height_m=random.uniform(0.9, 2.2),
        garden_trees_per_100m=random.uniform(10, 40),
        bushes_per_100m=random.uniform(40, 130),
        backdrop_distance_m=random.uniform(10, 40),
        num_persons=0.0,
        outer_slope=random.uniform(-0.15, 0.25),
        unevenness_m=0.2,
        roughness_m=0.04,
    )


def commercial(random: np.random.Generator) -> Side:
    """Halls behind a lot with parked cars."""
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


def green(random: np.random.Generator) -> Side:
    """Parks, banks and allotments: grass and plants close to the pavement, no buildings near."""
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
        fence=random.choice(("hedge", "hedge", "mesh", "planks", "none", "none", "none", "none")),
        fence_height_m=random.uniform(1.0, 2.6),
        garden_trees_per_100m=random.uniform(6, 45),
        bushes_per_100m=random.uniform(30, 160),
        backdrop_distance_m=random.uniform(8, 40),
        num_persons=0.8,
        outer_slope=random.uniform(-0.06, 0.25),
        unevenness_m=0.2,
        roughness_m=0.035,
    )


def parking(random: np.random.Generator) -> Side:
    """A car park: aisles between rows of bays, and a shop, trees or a fence at its far end."""
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
        fence="none" if has_shop else random.choice(("hedge", "mesh", "planks", "wall", "none")),
        fence_height_m=random.uniform(1.0, 2.0),
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
