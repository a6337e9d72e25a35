"""Behind the pavement: buildings with driveways, gardens, and the backdrop that closes the view."""

from collections.abc import Iterator

import numpy as np

from training.simulate.shapes import buildings, furniture, plants
from training.simulate.street.frontage import Frontage
from training.simulate.street.ground import Patch
from training.simulate.street.layout import PARKING
from training.simulate.street.parked_vehicles import parked_vehicle
from training.simulate.street.placer import Placer


def place_buildings(placer: Placer, front: Frontage) -> list[Patch]:
    """Buildings along the frontage; returns the ground patches of their driveways."""
    random, style = placer.random, front.style
    if style.building == "none":
        return []
    line = style.outer_start_m() + style.setback_m
    patches: list[Patch] = []
    s = front.first_m + random.uniform(0, 6)
    while s < front.last_m - 6:
        width, depth, floors, gap = _building_size(random, style.building)
        width = min(width, front.last_m - s)
        if width < 5:
            break
        distance = line + (random.uniform(0, 3) if style.building == "house" else 0)
        if not placer.claim(front, s + width / 2, distance + depth / 2, width / 2, depth / 2):
            s += 4.0
            continue
        roof = "flat" if style.building == "hall" or random.random() < 0.2 else "pitched"
        balconies = floors > 1 and random.random() < 0.35
        house = buildings.building(random, width, depth, floors, roof, balconies)
        placer.put(house, front, s + width / 2, distance, random.normal(0, 0.02))
        if style.building == "house":
            _place_clutter(placer, front, s, width, distance)
            if gap > 3.6 and random.random() < 0.5:
                patches += _driveway(placer, front, s + width + 0.3, distance)
        s += width + gap
    return patches


def _building_size(random: np.random.Generator, kind: str) -> tuple[float, float, int, float]:
    """(width, depth, number of floors, gap to the next building); metres."""
    if kind == "row":
        gap = random.uniform(4, 9) if random.random() < 0.15 else 0.0
        return random.uniform(9, 18), random.uniform(10, 14), int(random.integers(2, 6)), gap
    if kind == "hall":
        return random.uniform(18, 40), random.uniform(12, 20), int(random.integers(1, 4)), random.uniform(6, 15)
    gap = 0.0 if random.random() < 0.2 else random.uniform(2.5, 11)
    return random.uniform(7, 14), random.uniform(8, 12), int(random.integers(1, 4)), gap


def _driveway(placer: Placer, front: Frontage, start: float, distance: float) -> Iterator[Patch]:
    """A driveway beside the house, half of them with a garage, half with a vehicle."""
    random = placer.random
    if not placer.claim(front, start + 1.5, distance, 1.6, 3.0):
        return
    walk = front.style.span("sidewalk")
    from_m = walk[1] + 0.01 if walk else front.style.outer_start_m() + 0.01
    material = random.choice(("paving", "gravel", "asphalt"), p=(0.7, 0.15, 0.15))
    yield Patch(front, start, start + 3, from_m, distance + 5, PARKING, material, walk[2] if walk else 0.02)
    if random.random() < 0.5:
        garage = buildings.garage(random)
        placer.put(garage, front, start + 1.5, distance + 5.0)
    if random.random() < 0.45:
        mesh, half = parked_vehicle(random)
        if half < 2.7:
            yaw = np.pi / 2 * random.choice((-1, 1)) + random.normal(0, 0.04)
            placer.put(mesh, front, start + 1.5, distance + random.uniform(-0.5, 1.5), yaw, is_instance=True)


def _place_clutter(placer: Placer, front: Frontage, s: float, width: float, distance: float) -> None:
    """Small objects in front of a house."""
    random = placer.random
    for _ in range(random.poisson(2.0)):
        place, across = s + random.uniform(0, width), distance - random.uniform(0.5, 2.5)
        if placer.claim(front, place, across, 0.5, 0.5):
            placer.put(furniture.clutter(random), front, place, across, random.uniform(0, 6))


def place_garden(placer: Placer, front: Frontage) -> None:
    """Trees, bushes and undergrowth behind the pavement."""
    block, random, style = placer.block, placer.random, front.style
    first, last = front.first_m, front.last_m
    start = style.outer_start_m() + 1.2
    share = (last - first) / 100
    for make, count, half in (
        (plants.tree, style.garden_trees_per_100m * share, 0.7),
        (plants.bush, style.bushes_per_100m * share, 0.6),
    ):
        for _ in range(random.poisson(count)):
            s, distance = random.uniform(first, last), start + random.gamma(1.4, 5.0)
            if placer.claim(front, s, distance, half, half):
                placer.put(make(random), front, s, distance, random.uniform(0, 6), sink_m=0.1)
    if block.kind in ("country", "highway", "green") or random.random() < 0.35:
        for _ in range(int(random.integers(1, 6))):
            length, depth = random.uniform(4, 15), random.uniform(0.6, 4)
            s, distance = random.uniform(first, last), start + depth / 2 + random.gamma(1.2, 2.5)
            if front.is_clear(s, distance, length / 2, depth / 2):
                growth = plants.undergrowth(random, length, depth, random.uniform(0.3, 1.2))
                placer.put(growth, front, s, distance, sink_m=0.1)


def place_backdrop(placer: Placer, front: Frontage) -> None:
    """The backdrop: trees and bushes, or buildings, behind the first ones."""
    block, random, style = placer.block, placer.random, front.style
    if style.backdrop == "none":
        return
    distance = style.outer_start_m() + style.backdrop_distance_m
    s = block.start_m + random.uniform(0, 6)
    while s < block.end_m:
        if style.backdrop == "buildings" or (style.building == "house" and random.random() < 0.25):
            width = random.uniform(10, 25)
            if placer.claim(front, s + width / 2, distance + 6, width / 2, 6):
                house = buildings.building(random, width, 12, int(random.integers(2, 6)), "pitched")
                placer.put(house, front, s + width / 2, distance)
            s += width + random.uniform(0, 12)
        else:
            across = distance + random.uniform(-6, 10)
            if placer.claim(front, s, across, 0.6, 0.6):
                tree = plants.tree(random, random.uniform(0.9, 1.4), leaf_m=0.8)
                placer.put(tree, front, s, across, random.uniform(0, 6), sink_m=0.2)
            across = distance - random.uniform(0, 5)
            if random.random() < 0.9 and placer.claim(front, s + 1.5, across, 0.8, 0.8):
                bush = plants.bush(random, random.uniform(1.5, 3.5), leaf_m=0.6)
                placer.put(bush, front, s + 1.5, across, random.uniform(0, 6), sink_m=0.3)
            s += random.uniform(1.2, 4.0)
