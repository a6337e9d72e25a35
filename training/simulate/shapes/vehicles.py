"""Cars, vans, trucks, buses, trailers and tractors, standing on the ground, front along +x. Raw ids are those of parked
vehicles."""

import numpy as np

from training.simulate.shapes.mesh import Mesh, join
from training.simulate.shapes.primitives import Rectangle, box, frustum, prism, tube

CAR, BUS, TRUCK, OTHER_VEHICLE = 10, 13, 18, 20


def car(random: np.random.Generator) -> Mesh:
    """A hatchback, saloon, estate, off-roader or people carrier."""
    build = random.choice(("hatchback", "saloon", "estate", "tall"), p=(0.35, 0.25, 0.25, 0.15))
    length, width, height = {
        "hatchback": (random.uniform(3.5, 4.3), random.uniform(1.6, 1.78), random.uniform(1.42, 1.55)),
        "saloon": (random.uniform(4.3, 4.9), random.uniform(1.7, 1.85), random.uniform(1.38, 1.48)),
        "estate": (random.uniform(4.3, 4.9), random.uniform(1.7, 1.85), random.uniform(1.44, 1.55)),
        "tall": (random.uniform(4.2, 4.8), random.uniform(1.75, 1.9), random.uniform(1.6, 1.8)),
    }[build]
    floor, belt = random.uniform(0.18, 0.28), height * random.uniform(0.58, 0.64)
    half = length / 2
    bonnet = half - length * random.uniform(0.24, 0.29)
    boot = {"saloon": -half + length * 0.17, "tall": -half + 0.05}.get(build, -half + 0.12)
    body = [
        (-half, floor + 0.1), (-half + 0.05, floor), (half - 0.1, floor), (half, floor + 0.15),
        (half - 0.02, belt * 0.66), (half - 0.14, belt * 0.78), (bonnet, belt), (boot, belt + 0.02),
        (-half + 0.02, belt * 0.93),
    ]  # fmt: skip
    windscreen, rear = length * random.uniform(0.13, 0.19), length * {"saloon": 0.11, "tall": 0.03}.get(build, 0.05)
    inset = width * 0.11
    cabin_bottom = (boot, bonnet, -width / 2 + 0.04, width / 2 - 0.04, belt)
    roof = (boot + rear, bonnet - windscreen, -width / 2 + inset, width / 2 - inset, height - 0.06)
    roof_top = (roof[0] + 0.1, roof[1] - 0.12, roof[2] + 0.07, roof[3] - 0.07, height)
    parts = [
        prism(body, width, "paint", width * 0.97),
        frustum(cabin_bottom, roof, "glass"),
        *_pillars(cabin_bottom, roof),
        frustum(roof, roof_top, "paint"),
        *_wheels((half - length * 0.19, -half + length * 0.19), width, random.uniform(0.29, 0.35)),
        *_number_plates(half, floor + 0.3),
    ]
    parts += [
        box((0.14, 0.2, 0.13), (bonnet - 0.25, side * (width / 2 + 0.08), belt + 0.05), "paint") for side in (-1, 1)
    ]
    return join(parts).shaded(random.uniform(0.15, 1.75)).labelled(CAR)


def van(random: np.random.Generator) -> Mesh:
    """A delivery van or minibus; SemanticKITTI counts it as a car."""
    length, width, height = random.uniform(4.7, 5.9), random.uniform(1.85, 2.02), random.uniform(1.9, 2.5)
    half, floor, belt = length / 2, 0.3, 1.15
    nose = half - random.uniform(0.7, 1.0)
    body = [
        (-half, floor), (half, floor), (half, 0.8), (nose, belt), (nose - random.uniform(0.6, 0.9), height - 0.05),
        (-half + 0.05, height), (-half, belt),
    ]  # fmt: skip
    glass = frustum(
        (nose - 0.9, nose - 0.1, -width / 2 - 0.01, width / 2 + 0.01, belt),
        (nose - 0.95, nose - 0.7, -width / 2 + 0.06, width / 2 - 0.06, height - 0.3),
        "glass",
    )
    parts = [
        prism(body, width, "paint", width * 0.9),
        glass,
        *_wheels((half - 0.95, -half + 0.9), width, 0.34),
        *_number_plates(half, 0.5),
    ]
    return join(parts).shaded(random.uniform(0.6, 1.6)).labelled(CAR)


def truck(random: np.random.Generator) -> Mesh:
    """A lorry: a box body, an open load bed or a tanker behind a cab."""
    length, width = random.uniform(6.0, 10.5), random.uniform(2.3, 2.5)
    half, bed, cab_height = length / 2, random.uniform(0.9, 1.1), random.uniform(2.5, 3.1)
    cab = [
        (half - 2.0, 0.45), (half, 0.45), (half, 1.3), (half - 0.25, cab_height - 0.15), (half - 0.5, cab_height),
        (half - 2.0, cab_height),
    ]  # fmt: skip
    windscreen = frustum(
        (half - 0.5, half + 0.02, -width / 2 + 0.1, width / 2 - 0.1, 1.45),
        (half - 0.6, half - 0.15, -width / 2 + 0.15, width / 2 - 0.15, cab_height - 0.4),
        "glass",
    )
    load = (-half, half - 2.2, -width / 2, width / 2)
    kind = random.choice(("box", "open", "tank"), p=(0.65, 0.2, 0.15))
    if kind == "box":
        top = random.uniform(3.0, 3.8)
        cargo = [frustum((*load, bed), (*load, top), "panel")]
    elif kind == "open":
        cargo = [box((half * 2 - 2.2, 0.08, 0.6), (-1.1, side * width / 2, bed + 0.3), "panel") for side in (-1, 1)] + [
            box((0.08, width, 0.6), (-half, 0, bed + 0.3), "panel"),
            box((1.5, width * 0.8, 0.7), (-1, 0, bed + 0.3), "wood"),
        ]
    else:
        cargo = [tube((-half, 0, bed + 0.9), (half - 2.4, 0, bed + 0.9), width * 0.46, "panel", sides=12)]
    parts = [
        prism(cab, width, "panel"),
        windscreen,
        frustum((*load[:2], -width / 2 + 0.2, width / 2 - 0.2, 0.6), (*load, bed), "steel"),
        *cargo,
        *_wheels((half - 1.3, -half + 1.2, -half + 2.4), width, 0.48),
        *_number_plates(half, 0.7),
    ]
    return join(parts).shaded(random.uniform(0.7, 1.3)).labelled(TRUCK)


def bus(random: np.random.Generator) -> Mesh:
    """A city bus."""
    length, width, height = random.uniform(10, 12.5), 2.5, random.uniform(2.9, 3.2)
    half = length / 2
    outline = (-half, half, -width / 2, width / 2)
    windows = (-half + 0.3, half + 0.01, -width / 2 - 0.01, width / 2 + 0.01)
    parts = [
        frustum((*outline, 0.35), (*outline, 1.25), "panel"),
        frustum((*windows, 1.25), (*windows, 2.3), "glass"),
        frustum((*outline, 2.3), (*outline, height), "panel"),
        *(box((0.14, width + 0.04, 1.1), (x, 0, 1.8), "panel") for x in np.linspace(-half + 0.1, half - 0.6, 8)),
        box((2.5, 1.6, 0.3), (-1, 0, height + 0.15), "panel"),
        *_wheels((half - 2.6, -half + 3.0), width, 0.5),
    ]
    return join(parts).shaded(random.uniform(0.8, 1.3)).labelled(BUS)


def trailer(random: np.random.Generator) -> Mesh:
    """A caravan, a box trailer or a small flat trailer."""
    kind = random.choice(("caravan", "box", "flat"), p=(0.5, 0.3, 0.2))
    length, width = {"caravan": (random.uniform(4, 6), 2.2), "box": (3.0, 1.6), "flat": (2.6, 1.5)}[kind]
    height = {"caravan": random.uniform(2.4, 2.7), "box": random.uniform(1.7, 2.1), "flat": 0.85}[kind]
    half = length / 2
    if kind == "caravan":
        profile = [
            (-half, 0.6),
            (half, 0.6),
            (half, 1.2),
            (half - 0.5, height),
            (-half + 0.3, height),
            (-half, height - 0.5),
        ]
        cargo = [
            prism([(x, max(z, 0.45)) for x, z in profile], width, "panel", width * 0.96),
            *(box((1.0, 0.04, 0.6), (0.2, side * (width / 2 + 0.01), 1.6), "glass") for side in (-1, 1)),
        ]
    else:
        cargo = [box((length, width, height - 0.5), (0, 0, 0.5 + (height - 0.5) / 2), "panel")]
    drawbar = [tube((half, side * 0.5, 0.5), (half + 1.2, 0, 0.5), 0.05, "steel", 5) for side in (-1, 1)]
    parts = [
        *cargo,
        *drawbar,
        *_wheels((0.0,), width, 0.33),
        tube((half + 1, 0, 0), (half + 1, 0, 0.5), 0.06, "rubber"),
    ]
    return join(parts).shaded(random.uniform(0.8, 1.3)).labelled(OTHER_VEHICLE)


def tractor(random: np.random.Generator) -> Mesh:
    """A farm tractor or wheel loader."""
    scale = random.uniform(0.9, 1.15)
    parts = [
        box((1.8, 0.8, 0.8), (1.0, 0, 1.15), "panel"),
        frustum((-0.9, 0.3, -0.75, 0.75, 1.0), (-0.8, 0.2, -0.65, 0.65, 2.6), "glass"),
        box((1.2, 1.5, 0.1), (-0.3, 0, 2.65), "panel"),
        *(
            tube((x, side * 0.65, r), (x, side * 1.05, r), r, "rubber", 14)
            for x, r in ((-0.6, 0.8), (1.5, 0.5))
            for side in (-1, 1)
        ),
        tube((1.4, 0.2, 1.5), (1.4, 0.2, 2.4), 0.05, "steel"),
        box((0.7, 2.0, 0.7), (2.5, 0, 0.6), "steel"),
    ]
    return join(parts).scaled(scale, scale, scale).labelled(OTHER_VEHICLE)


def other_vehicle(random: np.random.Generator) -> Mesh:
    """A trailer, bus or tractor: SemanticKITTI's other-vehicle."""
    return (trailer, bus, tractor)[random.choice(3, p=(0.5, 0.3, 0.2))](random)


def _wheels(axles: tuple[float, ...], width: float, radius: float) -> list[Mesh]:
    """A wheel at both ends of each axle; `axles` are positions along x."""
    return [
        tube((x, side * (width / 2 - 0.2), radius), (x, side * (width / 2 + 0.01), radius), radius, "rubber", sides=14)
        for x in axles
        for side in (-1, 1)
    ]


def _pillars(bottom: Rectangle, top: Rectangle) -> list[Mesh]:
    """The painted pillars between the windows of a cabin."""
    (x0, x1, y0, y1, z0), (u0, u1, v0, v1, z1) = bottom, top
    middle, upper = (x0 + x1) / 2 - 0.1, (u0 + u1) / 2 - 0.1
    return [
        tube((x, y, z0), (u, v, z1), 0.05, "paint", 4)
        for x, u in ((x0, u0), (x1, u1), (middle, upper))
        for y, v in ((y0, v0), (y1, v1))
    ]


def _number_plates(half: float, height: float) -> list[Mesh]:
    """Plates at the front and rear, `half` the vehicle's length from its middle."""
    return [box((0.03, 0.5, 0.11), (sign * (half + 0.01), 0, height), "plate") for sign in (-1, 1)]
