"""Street furniture: poles, lamps, traffic lights and signs, fences and walls, and small objects of no other class."""

import numpy as np

from training.simulate.shapes.mesh import Mesh, join
from training.simulate.shapes.primitives import box, boxes, ellipsoid, polyline, tube, tubes

POLE, TRAFFIC_SIGN, FENCE, OTHER_OBJECT, OTHER_STRUCTURE = 80, 81, 51, 99, 52


def lamp(random: np.random.Generator) -> Mesh:
    """A street lamp whose arm reaches towards -y."""
    height, reach = random.uniform(4, 9), random.uniform(0.2, 2.0)
    base = random.uniform(0.06, 0.11)
    parts = [
        tube((0, 0, -0.3), (0, 0, height), base, "steel", 8, base * 0.6),
        polyline([(0, 0, height), (0, -reach * 0.5, height + 0.3), (0, -reach, height + 0.3)], 0.035, "steel", 5),
        box((0.25, 0.6, 0.15), (0, -reach - 0.2, height + 0.28), "steel"),
    ]
    return join(parts).labelled(POLE)


def utility_pole(random: np.random.Generator) -> Mesh:
    """A wooden pole or plain mast."""
    height = random.uniform(5, 8)
    radius = random.uniform(0.08, 0.15)
    parts = [tube((0, 0, -0.3), (0, 0, height), radius, "wood", 8, radius * 0.75)]
    if random.random() < 0.5:
        parts.append(box((0.1, 1.4, 0.1), (0, 0, height - 0.4), "wood"))
    return join(parts).labelled(POLE)


def bollards(random: np.random.Generator, length: float) -> Mesh:
    """A row of short posts along x, `length` metres long."""
    count = max(2, int(length / random.uniform(1.2, 2.0)))
    feet = np.stack([np.linspace(-length / 2, length / 2, count), np.zeros(count), np.full(count, -0.1)], axis=1)
    height = random.uniform(0.8, 1.1)
    return tubes(feet, feet + np.array((0, 0, height)), random.uniform(0.04, 0.08), "steel", 8).labelled(POLE)


def traffic_light(random: np.random.Generator) -> Mesh:
    """A traffic light on a post; some have an arm with a second one towards -y."""
    height = random.uniform(3.0, 3.6)
    parts = [
        tube((0, 0, -0.3), (0, 0, height), 0.07, "steel", 8),
        box((0.25, 0.3, 0.9), (-0.1, 0, height - 0.3), "steel"),
    ]
    if random.random() < 0.4:
        parts += [
            tube((0, 0, height), (0, 0, 5.8), 0.07, "steel", 8),
            tube((0, 0, 5.7), (0, -3.5, 5.9), 0.06, "steel", 6),
            box((0.25, 0.3, 0.9), (-0.1, -3.3, 5.5), "steel"),
        ]
    return join(parts).labelled(POLE)


def traffic_sign(random: np.random.Generator) -> Mesh:
    """One or two posts (class pole) with plates (class traffic-sign) that face -x."""
    kind = random.choice(("round", "triangle", "square", "board"), p=(0.4, 0.2, 0.25, 0.15))
    if kind == "board":
        width, height, low = random.uniform(1.4, 3.2), random.uniform(0.9, 1.8), random.uniform(1.4, 2.4)
        posts = [tube((0, y, -0.3), (0, y, low + height), 0.05, "steel", 8) for y in (-width / 3, width / 3)]
        plates = [box((0.04, width, height), (-0.08, 0, low + height / 2), "sign")]
    else:
        top = random.uniform(2.2, 3.1)
        posts = [tube((0, 0, -0.3), (0, 0, top + 0.3), random.uniform(0.03, 0.045), "steel", 8)]
        size = random.uniform(0.3, 0.45)
        sides = {"round": 12, "triangle": 3, "square": 4}[kind]
        plates = [tube((-0.09, 0, top), (-0.05, 0, top), size, "sign", sides)]
        if random.random() < 0.45:
            plates.append(box((0.04, 0.6, 0.35), (-0.07, 0, top - 0.65), "sign"))
    plate = join(plates).labelled(TRAFFIC_SIGN).shaded(random.uniform(0.45, 1.3))
    return join([*(post.labelled(POLE) for post in posts), plate])


def fence_panel(random: np.random.Generator, kind: str, length: float, height: float) -> Mesh:
    """A piece of fence or wall along x. kind: wall, low_wall, planks, rail, picket, bars or mesh; the last three let
    beams through. length, height: metres."""
    if kind == "wall":
        parts = [box((length, 0.25, height + 0.5), (0, 0, height / 2 - 0.25), "stone")]
    elif kind == "low_wall":
        base = min(0.25 + 0.35 * random.random(), height)
        parts = [
            box((length, 0.25, base + 0.5), (0, 0, base / 2 - 0.25), "stone"),
            box((0.35, 0.35, height + 0.3), (-length / 2 + 0.18, 0, height / 2 - 0.1), "stone"),
            box((length, 0.04, 0.1), (0, 0, (base + height) / 2), "wood"),
            box((length, 0.04, 0.1), (0, 0, height - 0.05), "wood"),
        ]
    elif kind == "planks":
        parts = [
            box((length, 0.05, height - 0.1), (0, 0, height / 2 + 0.05), "wood"),
            _posts(length, height + 0.1, 0.06),
        ]
    elif kind == "rail":
        parts = [box((length, 0.08, 0.3), (0, 0, 0.62), "steel"), _posts(length, 0.75, 0.06)]
    else:
        spacing, radius = {"picket": (0.16, 0.045), "bars": (0.13, 0.014), "mesh": (0.1, 0.006)}[kind]
        material = "wood" if kind == "picket" else "steel"
        count = max(2, int(length / spacing))
        x = np.linspace(-length / 2, length / 2, count)
        sizes = np.tile((radius * 2, 0.03, height), (count, 1))
        uprights = boxes(sizes, np.stack([x, np.zeros(count), np.full(count, height / 2 + 0.05)], axis=1), material)
        levels = (0.25, 0.8) if kind != "mesh" else (0.05, 0.28, 0.52, 0.76, 1.0)
        rails = [
            box((length, 0.03, 0.06 if kind != "mesh" else 0.02), (0, 0, height * share), material) for share in levels
        ]
        parts = [uprights, *rails, _posts(length, height + 0.1, 0.05)]
    return join(parts).labelled(FENCE)


def litter_bin(random: np.random.Generator) -> Mesh:
    """A litter bin."""
    height = random.uniform(0.8, 1.3)
    return box((random.uniform(0.5, 0.8), random.uniform(0.5, 0.7), height), (0, 0, height / 2), "panel").labelled(
        OTHER_OBJECT
    )


def cabinet(random: np.random.Generator) -> Mesh:
    """A grey box of the telephone or power company, or a letterbox on its post."""
    height = random.uniform(0.9, 1.5)
    size = (random.uniform(0.5, 1.3), random.uniform(0.3, 0.45), height)
    return box(size, (0, 0, height / 2), "panel").shaded(random.uniform(0.7, 1.2)).labelled(OTHER_OBJECT)


def clutter(random: np.random.Generator) -> Mesh:
    """An object in front of a house: boxes, steps, a tub, a table with chairs, or a parasol."""
    kind = random.choice(("boxes", "steps", "tub", "table", "parasol"), p=(0.4, 0.2, 0.2, 0.12, 0.08))
    if kind == "boxes":
        count = int(random.integers(1, 5))
        sizes = random.uniform(0.2, 0.9, (count, 3))
        centres = random.uniform(-0.7, 0.7, (count, 3))
        centres[:, 2] = sizes[:, 2] / 2
        parts = [boxes(sizes, centres, random.choice(("panel", "wood", "stone")))]
    elif kind == "steps":
        parts = [box((1.6, 1.2 - 0.3 * step, 0.18), (0, 0.15 * step, 0.09 + 0.18 * step), "stone") for step in range(4)]
    elif kind == "tub":
        parts = [tube((0, 0, 0), (0, 0, random.uniform(0.4, 0.8)), random.uniform(0.2, 0.5), "stone", 9)]
    elif kind == "table":
        parts = [box((1.4, 0.8, 0.06), (0, 0, 0.74), "wood"), box((0.6, 0.5, 0.7), (0, 0, 0.35), "wood")]
        parts += [box((0.5, 0.06, 0.9), (x, y, 0.5), "panel") for x in (-0.4, 0.4) for y in (-0.8, 0.8)]
    else:
        parts = [tube((0, 0, 0), (0, 0, 2.3), 0.03, "steel"), ellipsoid((1.3, 1.3, 0.3), (0, 0, 2.2), "cloth")]
    return join(parts).shaded(random.uniform(0.7, 1.2)).labelled(OTHER_OBJECT)


def bench(random: np.random.Generator) -> Mesh:
    """A bench along x whose seat faces -y."""
    parts = [
        box((1.6, 0.45, 0.06), (0, 0, 0.45), "wood"),
        box((1.6, 0.06, 0.4), (0, 0.25, 0.7), "wood"),
        boxes([(0.08, 0.4, 0.45)] * 2, [(-0.7, 0, 0.22), (0.7, 0, 0.22)], "steel"),
    ]
    return join(parts).labelled(OTHER_OBJECT)


def advertising_column(random: np.random.Generator) -> Mesh:
    """A round column for posters."""
    parts = [
        tube((0, 0, 0), (0, 0, 2.7), 0.6, "plaster", 12),
        ellipsoid((0.7, 0.7, 0.3), (0, 0, 2.8), "steel"),
    ]
    return join(parts).labelled(OTHER_OBJECT)


def bus_shelter(random: np.random.Generator) -> Mesh:
    """A bus shelter along x, open towards -y."""
    parts = [
        box((3.6, 1.5, 0.1), (0, 0, 2.4), "steel"),
        box((3.6, 0.05, 2.0), (0, 0.7, 1.2), "glass"),
        box((0.05, 1.3, 2.0), (-1.8, 0, 1.2), "panel"),
        tubes([(x, -0.6, 0) for x in (-1.7, 1.7)], [(x, -0.6, 2.4) for x in (-1.7, 1.7)], 0.05, "steel"),
    ]
    return join(parts).labelled(OTHER_STRUCTURE)


def _posts(length: float, height: float, radius: float) -> Mesh:
    feet = np.array([(-length / 2, 0, -0.3), (length / 2, 0, -0.3)])
    return tubes(feet, feet + np.array((0, 0, height + 0.3)), radius, "steel", 6)
