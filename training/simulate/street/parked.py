"""Parked vehicles along a street and in its lots, and two-wheelers left beside it."""

import numpy as np

from training.simulate.shapes import two_wheelers
from training.simulate.street.placer import WITH_TRAFFIC, vehicle, walking_zone


def place_parked_vehicles(placer, front):
    """Cars in a row beside the lanes, partly on the pavement where the street is narrow, and in rows on a lot."""
    random, style = placer.random, front.style
    if style.parked_at_m is not None:
        s = front.first_m + random.uniform(0, 6)
        while s < front.last_m - 3:
            mesh, half = vehicle(random)
            distance = style.parked_at_m + random.normal(0, 0.12)
            is_there = random.random() < style.parked_share and s + 2 * half < front.last_m
            if is_there and placer.claim(front, s + half, distance, half, 0.85):
                flipped = np.pi if random.random() < 0.2 else 0.0
                yaw = WITH_TRAFFIC + flipped + random.normal(0, 0.03)
                placer.put(mesh, front, s + half, distance, yaw, counts=True)
            s += 2 * half + 0.5 + random.gamma(1.0, 0.8)
    lot = style.span("lot")
    if lot:
        for row in np.arange(lot[0] + 3, lot[1] - 2, 6.0):
            for s in np.arange(front.first_m + 2, front.last_m - 2, 2.7):
                if random.random() < style.parked_share:
                    mesh, half = vehicle(random)
                    if half < 3.2 and placer.claim(front, s, row, 1.0, half):
                        yaw = np.pi / 2 * random.choice((-1, 1)) + random.normal(0, 0.05)
                        placer.put(mesh, front, s, row, yaw, counts=True)


def place_two_wheelers(placer, front):
    random, zone = placer.random, walking_zone(front.style)
    distances = (zone[0] + 0.85, zone[1] - 0.6)
    for make, group, spacing, mean in ((two_wheelers.bicycle, 6, 0.65, 0.7), (two_wheelers.motorcycle, 3, 1.1, 0.7)):
        share = 0.2 if placer.block.kind == "highway" else (1.0 if front.street is None else 0.5)
        for _ in range(random.poisson(mean * share)):
            _rack(placer, front, make, int(random.integers(1, group + 1)), spacing, distances)


def _rack(placer, front, make, count, spacing, distances):
    """Parked two-wheelers side by side, across the walking zone or in line along it."""
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
        placer.put(make(random), front, s + index * pitch, distance + random.normal(0, 0.08), yaw, counts=True)
