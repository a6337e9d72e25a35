"""What stands behind the pavement: buildings with driveways, gardens, and what closes the view."""

import numpy as np

from training.simulate import buildings, plants
from training.simulate.ground import Patch
from training.simulate.kinds import PARKING
from training.simulate.placer import vehicle


def place_buildings(placer, side):
    """Houses along the side; returns the ground patches of their driveways."""
    block, random = placer.block, placer.random
    style = block.side(side)
    if style.building == "none":
        return []
    first, last = placer.span(side)
    front = style.edges()[-2] + style.setback_m
    patches = []
    s = first + random.uniform(0, 3)
    while s < last - 6:
        width, depth, floors, gap = _plot(random, style.building)
        width = min(width, last - s)
        if width < 5:
            break
        roof = "flat" if style.building == "hall" or random.random() < 0.25 else "pitched"
        balconies = floors > 2 and random.random() < 0.35
        distance = front + (random.uniform(0, 3) if style.building == "house" else 0)
        house = buildings.building(random, width, depth, floors, roof, balconies)
        placer.put(house, side, s + width / 2, distance)
        placer.claim(side, s + width / 2, distance + depth / 2, width / 2, depth / 2)
        if style.building == "house" and gap > 3.6 and random.random() < 0.85:
            start = s + width + 0.3
            if start + 3 < last:
                inner = style.span("sidewalk")
                from_m = inner[1] + 0.01 if inner else 0.01
                patches.append(
                    Patch(side, start, start + 3, from_m, distance + 5, PARKING, "paving", 0.12 if inner else 0.02)
                )
                if random.random() < 0.5:
                    mesh, half = vehicle(random)
                    if half < 2.7:
                        placer.put(
                            mesh, side, start + 1.5, distance + 1.5, np.pi / 2 * random.choice((-1, 1)), counts=True
                        )
                placer.claim(side, start + 1.5, distance, 1.8, 8)
        s += width + gap
    return patches


def _plot(random, kind):
    """(width, depth, floors, gap to the next) of a building."""
    if kind == "row":
        gap = random.uniform(4, 9) if random.random() < 0.12 else 0.0
        return random.uniform(9, 18), random.uniform(10, 14), int(random.integers(3, 6)), gap
    if kind == "hall":
        return random.uniform(18, 40), random.uniform(12, 20), int(random.integers(1, 4)), random.uniform(6, 15)
    return random.uniform(8, 15), random.uniform(8, 12), int(random.integers(1, 4)), random.uniform(2.5, 8)


def place_garden(placer, side, patches):
    """Trees, bushes and undergrowth between the pavement and what stands behind."""
    block, random = placer.block, placer.random
    style = block.side(side)
    first, last = placer.span(side)
    start = style.edges()[-2] + 1.2
    share = (last - first) / 100
    for make, count, half in (
        (plants.tree, style.garden_trees_per_100m * share, 0.8),
        (plants.bush, style.bushes_per_100m * share, 0.7),
    ):
        for _ in range(random.poisson(count)):
            s, distance = random.uniform(first, last), start + random.gamma(1.4, 5.0)
            if placer.claim(side, s, distance, half, half):
                placer.put(make(random), side, s, distance, random.uniform(0, 6), sink_m=0.1)
    if block.kind in ("country", "highway") or random.random() < 0.3:
        for _ in range(int(random.integers(1, 5))):
            length, depth = random.uniform(4, 15), random.uniform(1, 4)
            s = random.uniform(first, last)
            growth = plants.undergrowth(random, length, depth, random.uniform(0.3, 1.0))
            placer.put(growth, side, s, start + depth + random.gamma(2, 2.5), sink_m=0.1)


def place_backdrop(placer, side):
    """What closes the view: woods or the next row of houses."""
    block, random = placer.block, placer.random
    style = block.side(side)
    distance = style.edges()[-2] + style.backdrop_distance_m
    s = block.start_m + random.uniform(0, 6)
    while s < block.end_m:
        if style.backdrop == "buildings":
            width = random.uniform(12, 30)
            house = buildings.building(random, width, 12, int(random.integers(2, 6)), "flat")
            placer.put(house, side, s + width / 2, distance)
            s += width + random.uniform(0, 12)
        else:
            offset = random.uniform(-6, 10)
            tree = plants.tree(random, random.uniform(0.9, 1.4), leaf_m=0.8)
            placer.put(tree, side, s, distance + offset, random.uniform(0, 6), sink_m=0.2)
            if random.random() < 0.9:
                bush = plants.bush(random, random.uniform(1.2, 2.8), leaf_m=0.6)
                placer.put(bush, side, s + 2, distance + offset - random.uniform(1, 5), sink_m=0.3)
            s += random.uniform(1.2, 4.0)
