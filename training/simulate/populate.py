"""Everything that stands in a block: parked vehicles, furniture, trees, borders, scenery, people standing about."""

import numpy as np

from training.simulate import people, plants, street_furniture, two_wheelers
from training.simulate.ground import Patch, ground_height
from training.simulate.kinds import OTHER_GROUND, PARKING
from training.simulate.placer import WITH_TRAFFIC, Placer, vehicle, walking_zone
from training.simulate.scenery import place_backdrop, place_buildings, place_garden


def populate(block, route, random):
    """(meshes in world coordinates, ground patches) of the block."""
    placer = Placer(block, route, random)
    patches = [*_islands(placer), *_car_parks(placer)]
    for side in (-1, 1):
        patches += place_buildings(placer, side)
        _parked(placer, side)
        _furniture(placer, side)
        _street_trees(placer, side)
        _border(placer, side, patches)
        place_garden(placer, side, patches)
        place_backdrop(placer, side)
        _standing_people(placer, side)
    _median(placer)
    return placer.meshes, patches


def _islands(placer):
    """Other-ground: each block without a median has a gravel bed somewhere beside the road."""
    block, random = placer.block, placer.random
    if block.median_m > 0:
        return
    side = int(random.choice((-1, 1)))
    start, _, height = walking_zone(block.side(side))
    first, last = placer.span(side)
    length = min(random.uniform(10, 28), (last - first) * 0.6)
    s = random.uniform(first, last - length)
    width = random.uniform(1.0, 2.2)
    yield Patch(side, s, s + length, start, start + width, OTHER_GROUND, "gravel", height)


def _car_parks(placer):
    """Parking: a block without a strip, a lot or driveways for it has a small car park beside the road."""
    block, random = placer.block, placer.random
    has_parking = any(side.span(name) for side in (block.left, block.right) for name in ("parking", "lot"))
    free = [side for side in (-1, 1) if block.side(side).building == "none"]
    if has_parking or block.kind == "highway" or not free:
        return
    side = int(random.choice(free))
    first, last = placer.span(side)
    start = block.side(side).edges()[-2] + 0.05
    count = int(random.integers(3, 8))
    s = random.uniform(first + 2, last - 2.7 * count - 2)
    yield Patch(side, s, s + 2.7 * count, start, start + 5.5, PARKING, "paving", ground_height(block, side, s, start))
    placer.claim(side, s + 1.35 * count, start + 2.7, 1.35 * count + 0.5, 2.8)
    for place in range(count):
        mesh, half = vehicle(random)
        if random.random() < 0.45 and half < 2.7:
            yaw = np.pi / 2 * random.choice((-1, 1)) + random.normal(0, 0.03)
            placer.put(mesh, side, s + 2.7 * (place + 0.5), start + 2.9, yaw, counts=True)


def _parked(placer, side):
    block, random = placer.block, placer.random
    style = block.side(side)
    first, last = placer.span(side)
    strip = style.span("parking")
    if strip:
        s = first + 2
        while s < last - 3:
            mesh, half = vehicle(random)
            if random.random() < style.parked_share and s + 2 * half < last:
                flipped = np.pi if random.random() < 0.15 else 0.0
                centre = (strip[0] + strip[1]) / 2 + random.normal(0, 0.08)
                placer.put(mesh, side, s + half, centre, WITH_TRAFFIC + flipped + random.normal(0, 0.02), counts=True)
            s += 2 * half + random.uniform(0.6, 1.6)
    lot = style.span("lot")
    if lot:
        for row in np.arange(lot[0] + 3, lot[1] - 2, 6.0):
            for s in np.arange(first + 2, last - 2, 2.7):
                if random.random() < style.parked_share:
                    mesh, half = vehicle(random)
                    if half < 3.2:
                        yaw = np.pi / 2 * random.choice((-1, 1)) + random.normal(0, 0.03)
                        placer.put(mesh, side, s, row, yaw, counts=True)
    if not strip and not lot and block.kind != "highway" and random.random() < 0.7:
        mesh, half = vehicle(random)
        zone = walking_zone(style)
        s = random.uniform(first + half, max(first + half + 1, last - half))
        if placer.claim(side, s, zone[0] + 1.0, half, 1.2):
            placer.put(mesh, side, s, zone[0] + 1.0, WITH_TRAFFIC, counts=True)


def _furniture(placer, side):
    block, random = placer.block, placer.random
    style = block.side(side)
    first, last = placer.span(side)
    zone = walking_zone(style)
    kerb, inner = zone[0] + 0.35, zone[1] - 0.3
    spots = [(street_furniture.traffic_sign, np.arange(first + 1, last, style.sign_spacing_m), np.pi)]
    if style.lamp_spacing_m and random.random() < 0.85:
        spots.append((street_furniture.lamp, np.arange(first + random.uniform(2, 12), last, style.lamp_spacing_m), 0.0))
    if block.kind == "country":
        spots.append((street_furniture.utility_pole, np.arange(first + random.uniform(2, 20), last, 30.0), 0.0))
    for make, places, yaw in spots:
        for s in places:
            s = s + random.uniform(-1, 1)
            if placer.claim(side, s, kerb, 0.5, 0.3):
                placer.put(make(random), side, s, kerb, yaw + random.normal(0, 0.1), sink_m=0.05)
    if random.random() < 0.6 and block.kind != "highway":
        placer.put(street_furniture.traffic_light(random), side, first - 1.5, kerb, np.pi)
    extras = [street_furniture.litter_bin] * int(random.integers(0, 5))
    if block.kind in ("city", "commercial"):
        extras += [street_furniture.bench, street_furniture.bench, street_furniture.advertising_column]
        extras += [street_furniture.bus_shelter] * int(random.random() < 0.4)
    for make in extras:
        s, distance = random.uniform(first + 3, last - 3), inner
        if placer.claim(side, s, distance, 1.5, 0.5):
            placer.put(make(random), side, s, distance, random.normal(0, 0.1))
    if random.random() < 0.25 and block.kind != "highway":
        length = random.uniform(5, 14)
        placer.put(
            street_furniture.bollards(random, length), side, random.uniform(first + length, last - length), kerb - 0.1
        )
    for make, group, spacing in ((two_wheelers.bicycle, 7, 0.65), (two_wheelers.motorcycle, 4, 1.1)):
        for _ in range(int(random.integers(2, 5)) if block.kind != "highway" else int(random.random() < 0.3)):
            _rack(
                placer,
                side,
                make,
                int(random.integers(1, group + 1)),
                spacing,
                (first, last),
                (kerb + 0.5, inner - 0.3),
            )


def _rack(placer, side, make, count, spacing, span, distances):
    """Parked two-wheelers side by side, across the walking zone or in line along it."""
    random = placer.random
    is_across = random.random() < 0.6
    distance = distances[0] if random.random() < 0.5 else max(distances)
    s = random.uniform(span[0] + 2, span[1] - 2)
    count = count if is_across else min(count, 2)
    pitch = spacing if is_across else 2.0
    if not placer.claim(
        side, s + pitch * (count - 1) / 2, distance, pitch * count / 2 + 0.5, 0.9 if is_across else 0.4
    ):
        return
    facing = (np.pi / 2 if is_across else 0.0) + (np.pi if random.random() < 0.5 else 0.0)
    for index in range(count):
        yaw = facing + random.normal(0, 0.12)
        placer.put(make(random), side, s + index * pitch, distance + random.normal(0, 0.08), yaw, counts=True)


def _street_trees(placer, side):
    style = placer.block.side(side)
    if not style.street_tree_spacing_m:
        return
    random = placer.random
    first, last = placer.span(side)
    verge = style.span("verge")
    distance = (verge[0] + verge[1]) / 2 if verge else walking_zone(style)[0] + 0.7
    for s in np.arange(first + random.uniform(1, 6), last, style.street_tree_spacing_m):
        s = s + random.uniform(-1, 1)
        if random.random() < 0.9 and placer.claim(side, s, distance, 0.7, 0.4):
            placer.put(plants.tree(random, 0.85), side, s, distance, random.uniform(0, 6))


def _border(placer, side, patches):
    """Fence, wall or hedge between pavement and garden, with gaps at driveways."""
    block, random = placer.block, placer.random
    style = block.side(side)
    if style.border == "none":
        return
    first, last = placer.span(side)
    distance = style.edges()[-2] + 0.4 if len(style.strips) > 1 else style.edges()[-2] + 2.5
    height = style.border_height_m if style.border != "rail" else 0.8
    step = 2.5
    for s in np.arange(first + step / 2, last - step / 2, step):
        is_gap = any(
            p.side == side and p.from_s_m - 1 < s < p.to_s_m + 1 and p.from_m <= distance + 0.5 and p.to_m > distance
            for p in patches
        )
        if is_gap or random.random() < 0.03:
            continue
        if style.border == "hedge":
            panel = plants.hedge(random, step, height, 0.7)
        else:
            panel = street_furniture.fence_panel(random, style.border, step, height)
        placer.put(panel, side, s, distance, sink_m=0.02)


def _standing_people(placer, side):
    block, random = placer.block, placer.random
    style = block.side(side)
    zone = walking_zone(style)
    first, last = placer.span(side)
    for _ in range(random.poisson(style.num_persons)):
        s, distance = random.uniform(first, last), random.uniform(zone[0] + 0.4, max(zone[1] - 0.3, zone[0] + 0.6))
        for index in range(int(random.choice((1, 2, 3), p=(0.6, 0.3, 0.1)))):
            if placer.claim(side, s + 0.7 * index, distance, 0.3, 0.3):
                mesh = people.person(random)
                placer.put(
                    mesh, side, s + 0.7 * index, distance + random.normal(0, 0.2), random.uniform(0, 6.28), counts=True
                )


def _median(placer):
    """Trees, a rail and signs on the island between the two directions."""
    block, random = placer.block, placer.random
    if block.median_m <= 0:
        return
    first, last = block.start_m + block.crossing_m + 2, block.end_m - 2
    centre = -(block.lane_edge(1) - block.median_m / 2)  # outwards from the left edge is positive, so this is inwards
    if block.kind == "highway" or random.random() < 0.3:
        for s in np.arange(first, last - 2.5, 2.5):
            panel = street_furniture.fence_panel(random, "rail", 2.5, 0.8)
            placer.put(panel, 1, s, centre, sink_m=0.02)
    elif random.random() < 0.6:
        for s in np.arange(first + 3, last, 9.0):
            make = plants.tree if random.random() < 0.5 else plants.bush
            placer.put(make(random, 0.7), 1, s, centre, random.uniform(0, 6))
    placer.put(street_furniture.traffic_sign(random), 1, first + 0.5, centre, np.pi)
