"""A car park that fills a whole side of the street: cars in marked bays, islands with plants, lamps, shelters,
people."""

from collections.abc import Iterator

import numpy as np

from training.simulate.shapes import furniture, people, plants
from training.simulate.street.frontage import Frontage
from training.simulate.street.ground import Patch
from training.simulate.street.layout import BAY_LENGTH_M, BAY_LINE_M, BAY_WIDTH_M, TERRAIN
from training.simulate.street.parked_vehicles import parked_vehicle
from training.simulate.street.placer import Placer

_LONGEST_HALF_M = 2.9  # half the length of the longest vehicle that fits into a bay
_BAYS_BETWEEN_ISLANDS = 11
_ISLAND_M = 0.12  # height


def place_car_park(placer: Placer, front: Frontage) -> list[Patch]:
    """Fills the bays of a side, if it has any; returns the ground patches of the islands."""
    if front.street is not None or not front.style.bays():
        return []
    middles = placer.block.bay_lines()[:-1] + (BAY_LINE_M + BAY_WIDTH_M) / 2
    patches: list[Patch] = []
    for start, end in front.style.bays():
        rows = np.arange(start + BAY_LENGTH_M / 2, end, BAY_LENGTH_M)
        patches += _place_islands(placer, front, middles, rows)
        if len(rows) > 1:
            _place_lamps(placer, front, middles, start + BAY_LENGTH_M)
        for row in rows:
            _place_shelter(placer, front, middles, row)
            _park(placer, front, middles, row)
    _place_people(placer, front)
    return patches


def _place_islands(placer: Placer, front: Frontage, middles: np.ndarray, rows: np.ndarray) -> Iterator[Patch]:
    """Bays that hold a tree or bush instead of a car."""
    random = placer.random
    first = int(random.integers(0, _BAYS_BETWEEN_ISLANDS))
    for s in middles[first::_BAYS_BETWEEN_ISLANDS]:
        for row in rows:
            if random.random() < 0.8 and placer.claim(front, s, row, BAY_WIDTH_M / 2 - 0.1, BAY_LENGTH_M / 2 - 0.1):
                make = plants.tree if random.random() < 0.7 else plants.bush
                placer.put(make(random, random.uniform(0.6, 0.9)), front, s, row, random.uniform(0, 6), sink_m=0.05)
                half_s, half_u = BAY_WIDTH_M / 2 - 0.1, BAY_LENGTH_M / 2 - 0.3
                yield Patch(front, s - half_s, s + half_s, row - half_u, row + half_u, TERRAIN, "grass", _ISLAND_M)


def _place_lamps(placer: Placer, front: Frontage, middles: np.ndarray, distance: float) -> None:
    """Lamps between two rows of bays."""
    random = placer.random
    for s in middles[int(random.integers(2, 8)) :: 10] + BAY_WIDTH_M / 2:
        if placer.claim(front, s, distance, 0.15, 0.15):
            placer.put(furniture.lamp(random), front, s, distance, random.choice((0.0, np.pi)))


def _place_shelter(placer: Placer, front: Frontage, middles: np.ndarray, row: float) -> None:
    """At times a shelter for trolleys or bicycles in place of a bay."""
    random, s = placer.random, placer.random.choice(middles)
    if random.random() < 0.25 and placer.claim(front, s, row, BAY_WIDTH_M / 2 + 0.6, BAY_LENGTH_M / 2 - 0.2):
        placer.put(furniture.bus_shelter(random), front, s, row, random.normal(0, 0.02))


def _park(placer: Placer, front: Frontage, middles: np.ndarray, row: float) -> None:
    """Vehicles in one row of bays, forwards or backwards."""
    random = placer.random
    for s in middles:
        if random.random() < front.style.parked_share:
            mesh, half = parked_vehicle(random)
            if half < _LONGEST_HALF_M and placer.claim(front, s, row, 1.0, half):
                yaw = np.pi / 2 * random.choice((-1, 1)) + random.normal(0, 0.03)
                across = row + random.normal(0, 0.1)
                placer.put(mesh, front, s + random.normal(0, 0.1), across, yaw, is_instance=True)


def _place_people(placer: Placer, front: Frontage) -> None:
    """People on their way between cars and shop."""
    random, edges = placer.random, front.style.edges()
    for index, strip in enumerate(front.style.strips):
        for _ in range(random.poisson(front.style.num_persons) if strip.name == "aisle" else 0):
            s, distance = random.uniform(front.first_m, front.last_m), random.uniform(edges[index], edges[index + 1])
            if placer.claim(front, s, distance, 0.3, 0.3):
                placer.put(people.person(random), front, s, distance, random.uniform(0, 6.28), is_instance=True)
