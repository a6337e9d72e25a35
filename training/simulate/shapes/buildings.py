"""Houses, terraces, halls and garages. Their front faces -y; the ground is at z = 0."""

import numpy as np

from training.simulate.shapes.mesh import Mesh, join, solid
from training.simulate.shapes.primitives import box, boxes, prism

BUILDING = 50
_SUNK = 1.5  # metres that walls reach below the ground, since it may slope


def building(
    random: np.random.Generator,
    width: float,
    depth: float,
    num_floors: int,
    roof: str = "pitched",
    balconies: bool = False,
) -> Mesh:
    """A building `width` metres along x and `depth` along y; its front wall is at y = 0, the rest at y > 0. roof:
    "flat" or "pitched"."""
    floor_height = random.uniform(2.7, 3.3)
    height = num_floors * floor_height + random.uniform(0.3, 0.9)
    bay = random.uniform(2.2, 3.4)
    material = random.choice(("plaster", "brick"), p=(0.65, 0.35))
    walls = []
    for length, x, y, yaw in (
        (width, -width / 2, 0, 0),
        (depth, width / 2, 0, np.pi / 2),
        (width, width / 2, depth, np.pi),
        (depth, -width / 2, depth, -np.pi / 2),
    ):
        walls.append(_wall(random, length, height, floor_height, num_floors, bay, material).moved(x=x, y=y, yaw=yaw))
    parts = [*walls, *_roof(random, width, depth, height, roof)]
    parts += _annexes(random, width, depth, height, floor_height, material)
    door = random.uniform(-width / 3, width / 3)
    parts += [box((1.5, 0.9, 0.2), (door, -0.4, 0.1), "stone"), box((1.7, 0.8, 0.12), (door, -0.35, 2.4), material)]
    if balconies:
        for level in range(1, num_floors):
            for x in (-width / 4, width / 4):
                base = level * floor_height
                parts.append(
                    boxes(
                        [(2.6, 1.1, 0.15), (2.6, 0.05, 0.9), (0.05, 1.1, 0.9), (0.05, 1.1, 0.9)],
                        [
                            (x, -0.55, base),
                            (x, -1.1, base + 0.5),
                            (x - 1.3, -0.55, base + 0.5),
                            (x + 1.3, -0.55, base + 0.5),
                        ],
                        "stone",
                    )
                )
    return join(parts).shaded(random.uniform(0.75, 1.25)).labelled(BUILDING)


def garage(random: np.random.Generator) -> Mesh:
    """A flat garage whose door faces -y."""
    width, depth, height = random.uniform(2.8, 6.0), random.uniform(5.0, 6.5), random.uniform(2.3, 2.8)
    parts = [
        box((width, depth, height + 0.5), (0, depth / 2, height / 2 - 0.25), "plaster"),
        box((width + 0.3, depth + 0.3, 0.18), (0, depth / 2, height), "stone"),
        box((width - 0.5, 0.06, height - 0.35), (0, -0.02, (height - 0.35) / 2), random.choice(("panel", "wood"))),
    ]
    return join(parts).shaded(random.uniform(0.75, 1.2)).labelled(BUILDING)


def _annexes(
    random: np.random.Generator, width: float, depth: float, height: float, floor_height: float, material: str
) -> list[Mesh]:
    """Parts added to the plain block of a house, each by chance: bay, lower wing, porch, dormers, rainwater pipe."""
    parts = []
    if random.random() < 0.35:  # bay
        x, out = random.uniform(-width / 3, width / 3), random.uniform(0.5, 1.4)
        tall = floor_height * random.choice((1, 2))
        parts.append(box((random.uniform(1.8, 3.2), out, tall), (x, -out / 2, tall / 2 - 0.2), material))
    if random.random() < 0.35:  # wing
        side, wide, deep = random.choice((-1, 1)), random.uniform(2, 4), random.uniform(0.4, 0.8) * depth
        parts.append(
            box(
                (wide, deep, floor_height + 1.2),
                (side * (width + wide) / 2, depth / 2, floor_height / 2 - 0.4),
                material,
            )
        )
    if random.random() < 0.4:  # porch roof on posts
        x = random.uniform(-width / 3, width / 3)
        parts += [
            box((2.2, 1.4, 0.15), (x, -0.7, 2.5), "tiles"),
            boxes([(0.12, 0.12, 2.7)] * 2, [(x - 0.95, -1.2, 1.15), (x + 0.95, -1.2, 1.15)], "wood"),
        ]
    if random.random() < 0.4:  # dormers
        for x in np.linspace(-width / 4, width / 4, int(random.integers(1, 4))):
            parts.append(box((1.5, 2.0, 1.5), (x, 1.6, height + 0.7), material))
    if random.random() < 0.6:  # rainwater pipe
        x = random.choice((-1, 1)) * (width / 2 - 0.15)
        parts.append(box((0.1, 0.1, height), (x, -0.07, height / 2), "steel"))
    return parts


def _wall(
    random: np.random.Generator,
    length: float,
    height: float,
    floor_height: float,
    num_floors: int,
    bay: float,
    material: str,
) -> Mesh:
    """A wall from the origin along x, facing -y, with a recessed window in most bays of each floor."""
    num_bays = max(1, int(length / bay))
    step, recess = length / num_bays, random.uniform(0.12, 0.3)
    window_width, window_height = step * random.uniform(0.35, 0.6), floor_height * random.uniform(0.4, 0.58)
    x0 = (np.arange(num_bays) + 0.5) * step - window_width / 2
    z0 = np.arange(num_floors) * floor_height + 0.9
    x0, z0 = (a.ravel() for a in np.meshgrid(x0, z0))
    keep = random.random(len(x0)) < 0.9
    x0, z0 = x0[keep], z0[keep]
    x1, z1 = x0 + window_width, z0 + window_height
    # The edges of the windows divide the wall into a grid, of which the cells inside windows are left out.
    xs = np.unique(np.concatenate([[0, length], x0, x1]).round(6))
    zs = np.unique(np.concatenate([[-_SUNK, height], z0, z1]).round(6))
    middle_x, middle_z = np.meshgrid((xs[1:] + xs[:-1]) / 2, (zs[1:] + zs[:-1]) / 2)
    is_open = np.zeros(middle_x.shape, dtype=bool)
    for left, right, low, high in zip(x0, x1, z0, z1, strict=True):
        is_open |= (middle_x > left) & (middle_x < right) & (middle_z > low) & (middle_z < high)
    rows, columns = np.nonzero(~is_open)
    wall = _quads_xz(xs[columns], xs[columns + 1], zs[rows], zs[rows + 1], np.zeros(len(rows)), material)
    panes = _quads_xz(x0, x1, z0, z1, np.full(len(x0), recess), "window")
    reveals = _reveals(x0, x1, z0, z1, recess, material)
    return join([wall, panes, reveals])


def _quads_xz(x0: np.ndarray, x1: np.ndarray, z0: np.ndarray, z1: np.ndarray, y: np.ndarray, material: str) -> Mesh:
    """Upright rectangles in planes of constant y; (N,) each."""
    corners = np.stack([np.stack([x, y, z], axis=1) for x, z in ((x0, z0), (x1, z0), (x1, z1), (x0, z1))], axis=1)
    return _quads(corners, material)


def _reveals(x0: np.ndarray, x1: np.ndarray, z0: np.ndarray, z1: np.ndarray, recess: float, material: str) -> Mesh:
    """The four narrow faces that join each recessed window to the wall."""
    near, far = np.zeros(len(x0)), np.full(len(x0), recess)
    faces = []
    for (xa, za), (xb, zb) in (
        ((x0, z0), (x1, z0)),
        ((x1, z0), (x1, z1)),
        ((x1, z1), (x0, z1)),
        ((x0, z1), (x0, z0)),
    ):
        faces.append(
            np.stack(
                [np.stack(p, axis=1) for p in ((xa, near, za), (xb, near, zb), (xb, far, zb), (xa, far, za))], axis=1
            )
        )
    return _quads(np.concatenate(faces), material)


def _quads(corners_Q43: np.ndarray, material: str) -> Mesh:
    """Quadrilaterals from (Q, 4, 3) corners."""
    count = len(corners_Q43)
    triangles = np.array([(0, 1, 2), (0, 2, 3)])[None] + 4 * np.arange(count)[:, None, None]
    return solid(corners_Q43, triangles, material)


def _roof(random: np.random.Generator, width: float, depth: float, height: float, kind: str) -> list[Mesh]:
    if kind == "flat":
        edge = [
            boxes(
                [(width, 0.3, 0.5), (width, 0.3, 0.5), (0.3, depth, 0.5), (0.3, depth, 0.5)],
                [
                    (0, 0.05, height),
                    (0, depth - 0.05, height),
                    (width / 2, depth / 2, height),
                    (-width / 2, depth / 2, height),
                ],
                "stone",
            )
        ]
        return [*edge, box((width, depth, 0.1), (0, depth / 2, height - 0.1), "tiles")]
    rise, eaves = depth / 2 * random.uniform(0.5, 0.95), random.uniform(0.3, 0.7)
    gable = [(-depth / 2 - eaves, height - 0.2), (depth / 2 + eaves, height - 0.2), (0, height + rise)]
    if random.random() < 0.5:
        roof = prism(gable, width + 0.6, "tiles").moved(yaw=np.pi / 2, y=depth / 2)
    else:
        rise, half = width / 2 * random.uniform(0.5, 0.9), width / 2
        gable = [(-half - eaves, height - 0.2), (half + eaves, height - 0.2), (0, height + rise)]
        roof = prism(gable, depth + 0.6, "tiles").moved(y=depth / 2)
    chimney = box((0.6, 0.6, 1.8), (random.uniform(-width / 4, width / 4), depth / 2, height + rise), "brick")
    return [roof, chimney]
