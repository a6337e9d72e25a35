"""Vehicles parked along a street or on a lot, and two-wheelers parked on the pavement."""

from collections.abc import Callable

import numpy as np

from training.simulate.shapes import two_wheelers, vehicles
from training.simulate.shapes.mesh import Mesh
from training.simulate.street.frontage import Frontage
from training.simulate.street.placer import WITH_TRAFFIC, Placer, walking_zone


def place_parked_vehicles(placer: Placer, front: Frontage) -> None:
    """Vehicles in a row beside the lanes, partly on the pavement where the street is narrow, and in rows on a lot."""
    random, style = placer.random, front.style
    if style.parked_at_m is not None:
        s = front.first_m + random.uniform(0, 6)
        while s < front.last_m - 3:
            mesh, half = parked_vehicle(random)
            distance = style.parked_at_m + random.normal(0, 0.12)
            is_there = random.random() < style.parked_share and s + 2 * half < front.last_m
            if is_there and placer.claim(front, s + half, distance, half, 0.85):
                flipped = np.pi if random.random() < 0.2 else 0.0
                yaw = WITH_TRAFFIC + flipped + random.normal(0, 0.03)
                placer.put(mesh, front, s + half, distance, yaw, is_instance=True)
            s += 2 * half + 0.5 + random.gamma(1.0, 0.8)
    lot = style.span("lot")
    if lot:
        for row in np.arange(lot[0] + 3, lot[1] - 2, 6.0):
            for s in np.arange(front.first_m + 2, front.last_m - 2, 2.7):
                if random.random() < style.parked_share:
                    mesh, half = parked_vehicle(random)
                    if half < 3.2 and placer.claim(front, s, row, 1.0, half):
                        yaw = np.pi / 2 * random.choice((-1, 1)) + random.normal(0, 0.05)
                        placer.put(mesh, front, s, row, yaw, is_instance=True)


def place_two_wheelers(placer: Placer, front: Frontage) -> None:
    """Single bicycles and motorcycles, and groups of them."""
    random, zone = placer.random, walking_zone(front.style)
    distances = (zone[0] + 0.85, zone[1] - 0.6)
    for make, group, spacing, mean in ((two_wheelers.bicycle, 6, 0.65, 0.7), (two_wheelers.motorcycle, 3, 1.1, 0.7)):
        share = 0.2 if placer.block.kind == "highway" else (1.0 if front.street is None else 0.5)
        for _ in range(random.poisson(mean * share)):
            _place_group(placer, front, make, int(random.integers(1, group + 1)), spacing, distances)


def _place_group(
    placer: Placer,
    front: Frontage,
    make: Callable[[np.random.Generator], Mesh],
    count: int,
    spacing: float,
    distances: tuple[float, float],
) -> None:
    """Parked two-wheelers side by side across the walking zone, or up to two behind each other along it."""
    random = placer.random
    is_across = random.random() < 0.6
    distance = distances[0] if random.random() < 0.5 else max(distances)
    s = random.uniform(front.first_m + 2, front.last_m - 2)
    count = count if is_across else min(count, 2)
    pitch = spacing if is_across else 2.0
    middle, half_length = s + pitch * (count - 1) / 2, pitch * count / 2 + 0.5
    if not placer.claim(front, middle, distance, half_length, 0.9 if is_across else 0.4):
        return
    facing = (np.pi / 2 if is_across else 0.0) + (np.pi if random.random() < 0.5 else 0.0)
    for index in range(count):
        yaw = facing + random.normal(0, 0.12)
        placer.put(make(random), front, s + index * pitch, distance + random.normal(0, 0.08), yaw, is_instance=True)


def parked_vehicle(random: np.random.Generator) -> tuple[Mesh, float]:
    """(mesh, half its length in metres) of a random vehicle: mostly a car, seldom a van, truck or other vehicle."""
    make = (vehicles.car, vehicles.van, vehicles.truck, vehicles.other_vehicle)[
        random.choice(4, p=(0.86, 0.12, 0.008, 0.012))
    ]
    mesh = make(random)
    return mesh, float(mesh.vertices[:, 0].max())
