"""Bicycles and motorcycles, parked or with a rider; wheels on the ground, front along +x."""

import numpy as np

from training.simulate.shapes.mesh import Mesh, join
from training.simulate.shapes.people import rider
from training.simulate.shapes.primitives import box, ellipsoid, frustum, tube, tubes, wheel_ring

BICYCLE, MOTORCYCLE, BICYCLIST, MOTORCYCLIST = 11, 15, 31, 32


def bicycle(random: np.random.Generator) -> Mesh:
    """A parked bicycle, leaning slightly."""
    return _bicycle(random).moved(roll=random.uniform(-0.12, 0.12)).labelled(BICYCLE)


def motorcycle(random: np.random.Generator) -> Mesh:
    """A parked motorcycle or scooter."""
    return _motorcycle(random).moved(roll=random.uniform(-0.2, 0.0)).labelled(MOTORCYCLE)


def bicyclist(random: np.random.Generator) -> Mesh:
    """A bicycle with its rider, both of class bicyclist."""
    person = rider(random, 0.98, -0.25, 0.42, 1.05, 0.2, random.uniform(0.15, 0.75))
    return join([_bicycle(random), person]).labelled(BICYCLIST)


def motorcyclist(random: np.random.Generator) -> Mesh:
    """A motorcycle with its rider, both of class motorcyclist."""
    person = rider(random, 0.85, -0.25, 0.45, 1.05, 0.3, random.uniform(0.1, 0.45))
    helmet = ellipsoid((0.15, 0.14, 0.16), (0.02, 0, 1.62), "paint")
    return join([_motorcycle(random), person, helmet]).labelled(MOTORCYCLIST)


def _bicycle(random: np.random.Generator) -> Mesh:
    radius, thickness = random.uniform(0.31, 0.35), random.uniform(0.022, 0.035)
    rear, front, low = (-0.52, 0, radius), (0.55, 0, radius), (-0.05, 0, 0.3)
    saddle, head, bar = (-0.25, 0, 0.82), (0.4, 0, 0.82), (0.36, 0, 1.05)
    frame = [(rear, low), (rear, saddle), (low, saddle), (low, head), (saddle, head), (head, front), (head, bar)]
    starts, ends = np.array([a for a, _ in frame]), np.array([b for _, b in frame])
    spokes = np.arange(6) * np.pi / 6
    parts = [
        tubes(starts, ends, random.uniform(0.018, 0.03), "steel", 4),
        tube((0.36, -0.3, 1.05), (0.36, 0.3, 1.05), 0.018, "steel", 4),
        box((0.28, 0.16, 0.07), (-0.25, 0, 0.9), "rubber"),
        tube((-0.05, -0.15, 0.2), (-0.05, 0.15, 0.38), 0.02, "steel", 4),
        box((0.5, 0.05, 0.04), (-0.5, 0, 2 * radius + 0.04), "steel"),
    ]
    for centre in (rear, front):
        arms = np.stack([np.cos(spokes), np.zeros(6), np.sin(spokes)], axis=1) * radius
        parts += [
            wheel_ring(centre, radius, thickness, "rubber"),
            tubes(centre - arms, centre + arms, 0.006, "steel", 3),
        ]
    if random.random() < 0.35:
        parts.append(frustum((0.45, 0.7, -0.14, 0.14, 0.85), (0.42, 0.75, -0.18, 0.18, 1.08), "wood"))
    return join(parts)


def _motorcycle(random: np.random.Generator) -> Mesh:
    is_scooter = random.random() < 0.4
    radius = random.uniform(0.22, 0.26) if is_scooter else random.uniform(0.29, 0.33)
    reach = 0.62 if is_scooter else 0.72
    wheels = [
        tube((x, -width, radius), (x, width, radius), radius, "rubber", 12)
        for x, width in ((-reach, 0.09), (reach, 0.06))
    ]
    common = [
        tubes(
            [(reach, s * 0.09, radius) for s in (-1, 1)],
            [(reach - 0.27, s * 0.09, 0.95) for s in (-1, 1)],
            0.03,
            "chrome",
            5,
        ),
        tube((0.42, -0.36, 1.05), (0.42, 0.36, 1.05), 0.022, "steel", 5),
        ellipsoid((0.1, 0.1, 0.1), (0.55, 0, 0.88), "chrome"),
        tubes([(0.42, s * 0.3, 1.05) for s in (-1, 1)], [(0.4, s * 0.34, 1.22) for s in (-1, 1)], 0.03, "steel", 4),
    ]
    if is_scooter:
        body = [
            frustum((-0.85, -0.05, -0.19, 0.19, 0.3), (-0.8, -0.1, -0.15, 0.15, 0.78), "paint"),
            box((0.45, 0.34, 0.08), (0.12, 0, 0.3), "paint"),
            frustum((0.3, 0.42, -0.22, 0.22, 0.3), (0.36, 0.44, -0.18, 0.18, 0.95), "paint"),
            box((0.7, 0.28, 0.1), (-0.4, 0, 0.82), "rubber"),
        ]
    else:
        body = [
            box((0.5, 0.36, 0.36), (0.02, 0, 0.45), "steel"),
            ellipsoid((0.32, 0.17, 0.15), (0.15, 0, 0.82), "paint"),
            frustum((-0.8, -0.05, -0.14, 0.14, 0.68), (-0.95, -0.05, -0.12, 0.12, 0.82), "rubber"),
            tube((-0.1, 0.2, 0.32), (-0.9, 0.24, 0.45), 0.05, "chrome", 6),
            tubes([(-reach, 0.1, radius)], [(-0.1, 0.1, 0.45)], 0.04, "steel", 5),
        ]
        if random.random() < 0.4:
            body.append(frustum((0.45, 0.7, -0.2, 0.2, 0.75), (0.4, 0.55, -0.15, 0.15, 1.25), "paint"))
        if random.random() < 0.3:
            body.append(box((0.4, 0.4, 0.32), (-0.85, 0, 0.98), "panel"))
    return join(wheels + common + body).shaded(random.uniform(0.7, 1.4))
