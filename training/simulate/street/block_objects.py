"""Everything that is placed in a block: vehicles, street furniture, trees, fences, houses, gardens, standing people."""

from collections.abc import Iterator, Sequence

import numpy as np

from training.simulate.shapes import furniture, people, plants
from training.simulate.shapes.mesh import Mesh
from training.simulate.street.car_park import place_car_park
from training.simulate.street.fences import place_fences
from training.simulate.street.frontage import Frontage, frontages
from training.simulate.street.ground import Patch, ground_height
from training.simulate.street.houses_and_gardens import place_backdrop, place_buildings, place_garden
from training.simulate.street.layout import OTHER_GROUND, PARKING, Block
from training.simulate.street.parked_vehicles import parked_vehicle, place_parked_vehicles, place_two_wheelers
from training.simulate.street.placer import Placer, walking_zone
from training.simulate.street.route import Route


def populate(block: Block, route: Route, random: np.random.Generator) -> tuple[list[Mesh], list[Patch]]:
    """(meshes in world coordinates, ground patches) of everything that stands in the block."""
    placer = Placer(block, route, random)
    fronts = list(frontages(block))
    patches = [*_other_ground(placer, fronts), *_small_car_park(placer, fronts)]
    for front in fronts:
        patches += place_car_park(placer, front)
        patches += place_buildings(placer, front)
        place_parked_vehicles(placer, front)
        _place_furniture(placer, front)
        place_two_wheelers(placer, front)
        _place_street_trees(placer, front)
        place_fences(placer, front, patches)
        place_garden(placer, front)
        if front.street is None:
            place_backdrop(placer, front)
        _place_standing_people(placer, front)
    _place_median(placer, fronts[1])
    return placer.meshes, patches


def _other_ground(placer: Placer, fronts: Sequence[Frontage]) -> Iterator[Patch]:
    """Most blocks without a median have a gravel bed, a paved yard or a track somewhere: class other-ground."""
    block, random = placer.block, placer.random
    if block.kind == "parking" or block.median_m > 0 or random.random() < 0.15:
        return
    front = fronts[random.choice(len(fronts))]
    start, _, height = walking_zone(front.style)
    length = min(random.uniform(6, 28), (front.last_m - front.first_m) * 0.6)
    s = random.uniform(front.first_m, front.last_m - length)
    if random.random() < 0.5:
        start = front.style.outer_start_m() + 0.1
    width, material = random.uniform(0.8, 4.0), random.choice(("gravel", "paving"), p=(0.7, 0.3))
    yield Patch(front, s, s + length, start, start + width, OTHER_GROUND, material, height)


def _small_car_park(placer: Placer, fronts: Sequence[Frontage]) -> Iterator[Patch]:
    """Half of the blocks with a side free of buildings have a small car park there: class parking."""
    block, random = placer.block, placer.random
    free = [front for front in fronts if front.style.building == "none"]
    if block.kind in ("highway", "parking") or not free or random.random() < 0.5:
        return
    front = free[random.choice(len(free))]
    start = front.style.outer_start_m() + 0.05
    count = int(random.integers(3, 9))
    s = random.uniform(front.first_m + 2, front.last_m - 2.7 * count - 2)
    if not placer.claim(front, s + 1.35 * count, start + 2.7, 1.35 * count + 0.5, 2.8):
        return
    height = ground_height(block, front.side, *front.place(s, start)[:2])
    yield Patch(front, s, s + 2.7 * count, start, start + 5.5, PARKING, "paving", height)
    for place in range(count):
        mesh, half = parked_vehicle(random)
        if random.random() < 0.45 and half < 2.7:
            yaw = np.pi / 2 * random.choice((-1, 1)) + random.normal(0, 0.05)
            placer.put(mesh, front, s + 2.7 * (place + 0.5), start + 2.9, yaw, is_instance=True)


def _place_furniture(placer: Placer, front: Frontage) -> None:
    """Signs, lamps, poles, bins, benches and the like on the walking zone."""
    block, random, style = placer.block, placer.random, front.style
    first, last = front.first_m, front.last_m
    zone = walking_zone(style)
    kerb, inner = zone[0] + 0.35, zone[1] - 0.3
    spots = []
    for make, spacing, yaw in (
        (furniture.traffic_sign, style.sign_spacing_m, np.pi),
        (furniture.lamp, style.lamp_spacing_m, 0.0),
        (furniture.utility_pole, 35.0, 0.0),
    ):
        share = {furniture.utility_pole: 0.7 if block.kind == "country" else 0.1}.get(make, 0.75)
        if random.random() < share:
            distance = kerb if random.random() < 0.6 else inner
            spots += [(make, s, distance, yaw) for s in np.arange(first + random.uniform(0, spacing), last, spacing)]
    for make, s, distance, yaw in spots:
        if placer.claim(front, s, distance, 0.4, 0.2):
            placer.put(make(random), front, s, distance, yaw + random.normal(0, 0.3), sink_m=0.05)
    if random.random() < 0.15 and block.kind != "highway":
        s = random.uniform(first + 2, last - 2)
        if placer.claim(front, s, kerb, 0.4, 0.3):
            placer.put(furniture.traffic_light(random), front, s, kerb, np.pi)
    extras = [furniture.litter_bin] * int(random.poisson(1.5)) + [furniture.cabinet] * int(random.poisson(0.6))
    if block.kind in ("city", "commercial", "parking"):
        extras += [furniture.bench, furniture.advertising_column]
        extras += [furniture.bus_shelter] * int(random.random() < 0.4)
    for make in extras:
        s = random.uniform(first + 2, last - 2)
        if placer.claim(front, s, inner, 0.8, 0.4):
            placer.put(make(random), front, s, inner, random.normal(0, 0.1))
    if random.random() < 0.12 and block.kind != "highway":
        length = random.uniform(5, 14)
        s = random.uniform(first + length, last - length)
        if front.is_clear(s, kerb - 0.1, length / 2, 0.1):
            placer.put(furniture.bollards(random, length), front, s, kerb - 0.1)


def _place_street_trees(placer: Placer, front: Frontage) -> None:
    style, random = front.style, placer.random
    if not style.street_tree_spacing_m:
        return
    verge = style.span("verge")
    distance = (verge[0] + verge[1]) / 2 if verge else walking_zone(style)[0] + 0.7
    for s in np.arange(front.first_m + random.uniform(1, 6), front.last_m, style.street_tree_spacing_m):
        s = s + random.uniform(-1, 1)
        if random.random() < 0.85 and placer.claim(front, s, distance, 0.6, 0.4):
            placer.put(plants.tree(random), front, s, distance, random.uniform(0, 6))


def _place_standing_people(placer: Placer, front: Frontage) -> None:
    random, zone = placer.random, walking_zone(front.style)
    mean = front.style.num_persons * (0.5 if front.street is None else 0.3)
    for _ in range(random.poisson(mean)):
        s = random.uniform(front.first_m, front.last_m)
        distance = random.uniform(zone[0] + 0.4, max(zone[1] - 0.3, zone[0] + 0.6))
        for index in range(int(random.choice((1, 2, 3), p=(0.6, 0.3, 0.1)))):
            if placer.claim(front, s + 0.7 * index, distance, 0.3, 0.3):
                turn = random.uniform(0, 6.28)
                across = distance + random.normal(0, 0.2)
                placer.put(people.person(random), front, s + 0.7 * index, across, turn, is_instance=True)


def _place_median(placer: Placer, front: Frontage) -> None:
    """A rail, or trees and bushes, and a sign on the median, if there is one. `front`: the left side of the main
    street."""
    block, random = placer.block, placer.random
    if block.median_m <= 0:
        return
    first, last = block.start_m + block.crossing_m + 2, block.end_m - 2
    centre = -(block.lane_edge(1) - block.median_m / 2)  # inwards from the edge of the left lanes
    if block.kind == "highway" or random.random() < 0.3:
        for s in np.arange(first, last - 2.5, 2.5):
            panel = furniture.fence_panel(random, "rail", 2.5, 0.8)
            placer.put(panel, front, s, centre, sink_m=0.02)
    elif random.random() < 0.6:
        for s in np.arange(first + 3, last, 9.0):
            make = plants.tree if random.random() < 0.5 else plants.bush
            placer.put(make(random, 0.7), front, s, centre, random.uniform(0, 6))
    placer.put(furniture.traffic_sign(random), front, first + 0.5, centre, np.pi)
