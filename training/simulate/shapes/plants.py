"""Trees, bushes, hedges and undergrowth. Leaves are loose triangles, so that some beams pass through."""

import numpy as np

from training.simulate.shapes.mesh import Mesh, join
from training.simulate.shapes.primitives import leaves, lump, tubes

VEGETATION, TRUNK = 70, 71

# Ranges in metres: height, radius of the crown, height of the bare trunk, radius of the trunk.
_HABITS = {
    "round": ((6, 14), (2.0, 5.2), (1.4, 3.6), (0.08, 0.26)),
    "tall": ((9, 15), (1.4, 2.6), (0.8, 3.0), (0.13, 0.28)),
    "conifer": ((6, 14), (1.4, 2.6), (0.1, 1.2), (0.12, 0.25)),
    "young": ((3.5, 6), (0.8, 1.8), (0.9, 2.0), (0.05, 0.1)),
}


def tree(random: np.random.Generator, scale: float = 1.0, leaf_m: float = 0.26) -> Mesh:
    """A tree: its trunk is of class trunk, branches and crown of class vegetation. Drawn as round, tall, conifer or
    young. scale: factor on its height and crown; leaf_m: mean size of a leaf triangle."""
    habit = random.choice(tuple(_HABITS), p=(0.45, 0.15, 0.25, 0.15))
    height, crown_radius, bare, stem = (random.uniform(low, high) for low, high in _HABITS[habit])
    height, crown_radius = height * scale, crown_radius * scale
    lean = random.normal(0, 0.03, 2)
    fork = np.array([lean[0] * bare * 3, lean[1] * bare * 3, bare + 0.25 * (height - bare)])
    middle = fork * 0.5 + random.normal(0, 0.04, 3)
    trunk = tubes(
        [np.array((0, 0, -0.6)), middle], [middle, fork], [stem, stem * 0.85], "bark", 9, [stem * 0.85, stem * 0.6]
    ).labelled(TRUNK)
    crown = _crown_points(random, habit, height, crown_radius, bare, leaf_m) + np.array((fork[0], fork[1], 0))
    count = min(9, 3 + int(crown_radius * 2))
    tips = crown[random.integers(len(crown), size=count)]
    roots = fork * random.uniform(0.6, 1.0, (count, 1))
    branches = tubes(roots, tips, stem * 0.32, "bark", 5, stem * 0.1).labelled(VEGETATION)
    foliage = leaves(crown, leaf_m * random.uniform(0.6, 1.4, len(crown)), random).labelled(VEGETATION)
    return join([trunk, branches, foliage]).shaded(random.uniform(0.8, 1.2))


def bush(random: np.random.Generator, radius: float | None = None, leaf_m: float = 0.22) -> Mesh:
    """A shrub that reaches the ground: loose leaves, in most with one to three dense lumps inside. radius: metres, None
    draws one; leaf_m: mean size of a leaf triangle."""
    radius = radius or min(0.4 + random.gamma(1.7, 0.55), 2.6)
    radii = np.array((radius, radius * random.uniform(0.7, 1.4), radius * random.uniform(0.7, 1.3)))
    count = int(40 + 10 * (radius / leaf_m) ** 2)
    points = _in_ball(random, count) * radii
    points[:, 2] = np.abs(points[:, 2] + 0.35 * radius)
    parts = [leaves(points, leaf_m * random.uniform(0.6, 1.4, count), random)]
    density = random.uniform(0.35, 0.85)  # below 0.45 beams pass through the bush
    for _ in range(int(random.integers(1, 4)) if density > 0.45 else 0):
        centre = random.uniform(-0.25, 0.25, 3) * radii + (0, 0, 0.35 * radius)
        core = lump(radii * density * random.uniform(0.8, 1.1, 3), centre, 0.14, random, "leaf")
        np.maximum(core.vertices[:, 2], -0.3, out=core.vertices[:, 2])
        parts.append(core)
    return join(parts).labelled(VEGETATION).shaded(random.uniform(0.8, 1.2))


def hedge(random: np.random.Generator, length: float, height: float, depth: float) -> Mesh:
    """A hedge along x, clipped or grown out: a dense uneven core inside loose leaves. Sizes in metres."""
    count = int(38 * length * (height + depth))
    points = random.uniform(-0.5, 0.5, (count, 3)) * (length, depth + 0.15, height + 0.15) + (0, 0, height / 2)
    outer = leaves(points, random.uniform(0.08, 0.24, count), random)
    roughness = random.choice((0.05, 0.1, 0.18))
    core = [
        lump((0.5, depth * 0.47, height * 0.58), (x, 0, height * 0.42), roughness, random, "leaf", 4.0)
        for x in np.arange(-length / 2 + 0.3, length / 2, 0.62)
    ]
    return join([*core, outer]).labelled(VEGETATION)


def undergrowth(random: np.random.Generator, length: float, depth: float, height: float) -> Mesh:
    """Tall grass, brambles and young shoots on an area of `length` along x and `depth` along y, in metres."""
    count = int(14 * length * depth)
    points = random.uniform(-0.5, 0.5, (count, 3)) * (length, depth, 0)
    points[:, 2] = height * random.random(count) ** 1.6
    return leaves(points, random.uniform(0.15, 0.4, count), random).labelled(VEGETATION)


def _crown_points(
    random: np.random.Generator, habit: str, height: float, radius: float, bare: float, leaf_m: float
) -> np.ndarray:
    """(count, 3) centres of leaves. radius: of the crown, bare: height of the trunk below it, in metres."""
    if habit == "conifer":
        count = int(np.clip(7.5 * radius * (height - bare) / leaf_m**2, 150, 4000))
        level = random.random(count) ** 1.4
        reach = radius * (1 - level) * np.sqrt(random.uniform(0.15, 1, count))
        angle = random.uniform(0, 2 * np.pi, count)
        return np.stack([reach * np.cos(angle), reach * np.sin(angle), bare + level * (height - bare)], axis=1)
    half = (height - bare) / 2
    count = int(np.clip(6.0 * (radius * radius + 2 * radius * half) / leaf_m**2, 150, 4000))
    lumps = _in_ball(random, 10) * 0.62
    points = lumps[random.integers(len(lumps), size=count)] + _in_ball(random, count) * 0.45
    return points * (radius, radius, half) + (0, 0, bare + half)


def _in_ball(random: np.random.Generator, count: int) -> np.ndarray:
    """(count, 3) points in the unit ball, denser near its surface."""
    directions = random.standard_normal((count, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return directions * random.uniform(0.1, 1, (count, 1)) ** 0.4
