"""Everything that stands in a block: parked vehicles, furniture, borders, buildings, plants, people standing about."""

import numpy as np

from training.simulate import buildings, people, plants, street_furniture, two_wheelers, vehicles
from training.simulate.ground import Patch, ground_height
from training.simulate.kinds import OTHER_GROUND, PARKING

_STATIC_INSTANCES = 30000
_INSTANCES_A_BLOCK = 150


class Placer:
    """Puts objects into one block and numbers those that are instances."""

    def __init__(self, block, route, random):
        self.block, self.route, self.random = block, route, random
        self.meshes = []
        self._taken = []
        self._num_instances = 0

    def put(self, mesh, side, s, distance_m, yaw=0.0, counts=False, sink_m=0.0):
        """`distance_m` outwards from the lanes' edge; yaw 0 looks along the street on the right side and against it
        on the left one, so that -y always points at the lanes."""
        if counts:
            self._num_instances += 1
            number = (self.block.index * _INSTANCES_A_BLOCK + self._num_instances) % _STATIC_INSTANCES
            mesh = mesh.numbered(number + 1)
        height = ground_height(self.block, side, s, distance_m) - sink_m
        d = self.block.lane_edge(side) + side * distance_m
        self.meshes.append(self.route.placed(mesh, s, d, height, yaw + (0.0 if side > 0 else np.pi)))

    def claim(self, side, s, distance_m, half_length, half_width):
        """True, and the place is taken, if nothing claimed overlaps it."""
        for other_side, s0, u0, l0, w0 in self._taken:
            if other_side == side and abs(s - s0) < half_length + l0 and abs(distance_m - u0) < half_width + w0:
                return False
        self._taken.append((side, s, distance_m, half_length, half_width))
        return True

    def span(self, side):
        """(first, last) s that is clear of the crossings."""
        crosses = self.block.crosses_left if side > 0 else self.block.crosses_right
        return (
            self.block.start_m + (self.block.crossing_m + 3 if crosses else 0.5),
            self.block.end_m - (3 if crosses else 0.5),
        )


_ALONG = {1: np.pi, -1: np.pi}  # yaw that makes +x the driving direction of a side, whatever the side


def populate(block, route, random):
    """(meshes in world coordinates, ground patches) of the block."""
    placer = Placer(block, route, random)
    patches = [*_islands(placer), *_car_parks(placer)]
    for side in (-1, 1):
        patches += _buildings(placer, side)
        _parked(placer, side)
        _furniture(placer, side)
        _street_trees(placer, side)
        _border(placer, side, patches)
        _garden(placer, side, patches)
        _backdrop(placer, side)
        _standing_people(placer, side)
    _median(placer)
    return placer.meshes, patches


def vehicle(random):
    """A parked vehicle: mostly cars, now and then a rarer kind. Returns (mesh, half length)."""
    make = (vehicles.car, vehicles.van, vehicles.truck, vehicles.other_vehicle)[
        random.choice(4, p=(0.82, 0.11, 0.035, 0.035))
    ]
    mesh = make(random)
    return mesh, float(mesh.vertices[:, 0].max())


def _islands(placer):
    """Other-ground: each block without a median has a gravel bed somewhere beside the road."""
    block, random = placer.block, placer.random
    if block.median_m > 0:
        return
    side = int(random.choice((-1, 1)))
    start, _, height = _walking_zone(block.side(side))
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


def _walking_zone(side):
    """(start, end, height) of where people walk on this side: its sidewalk, or the first metres beside the lanes."""
    return side.span("sidewalk") or (side.edges()[-2] + 0.2, side.edges()[-2] + 2.0, side.strips[-1].height_m)


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
                placer.put(mesh, side, s + half, centre, _ALONG[side] + flipped + random.normal(0, 0.02), counts=True)
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
        zone = _walking_zone(style)
        s = random.uniform(first + half, max(first + half + 1, last - half))
        if placer.claim(side, s, zone[0] + 1.0, half, 1.2):
            placer.put(mesh, side, s, zone[0] + 1.0, _ALONG[side], counts=True)


def _furniture(placer, side):
    block, random = placer.block, placer.random
    style = block.side(side)
    first, last = placer.span(side)
    zone = _walking_zone(style)
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
    distance = (verge[0] + verge[1]) / 2 if verge else _walking_zone(style)[0] + 0.7
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


def _buildings(placer, side):
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


def _garden(placer, side, patches):
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


def _backdrop(placer, side):
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


def _standing_people(placer, side):
    block, random = placer.block, placer.random
    style = block.side(side)
    zone = _walking_zone(style)
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
