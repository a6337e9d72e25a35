"""A SemanticKITTI folder of a few thousand random points a scan: ground, a wall, a box. Learnt in seconds."""

import numpy as np

# Small enough for steps of some ten milliseconds.
TINY_MODEL = {
    "architecture": "cylinder3d",
    "width": 4,
    "num_voxel_features": 4,
    "num_point_features": 8,
    "point_mlp_widths": [8],
    "refinement_widths": [8],
    "grid": {"shape": [24, 18, 8]},
}

_RAW_ROAD, _RAW_BUILDING, _RAW_CAR, _RAW_MOVING_CAR = 40, 50, 10, 252


def write_dataset(root, sequences):
    """Writes `sequences`, {name: number of scans}, under `root` and returns it."""
    for sequence, num_scans in sequences.items():
        for frame in range(num_scans):
            points, raw_labels = random_scan(np.random.default_rng((*_seed_of(sequence), frame)))
            write_scan(root, sequence, f"{frame:06d}", points, raw_labels)
    return root


def _seed_of(sequence):
    return [int(sequence)] if sequence.isdigit() else list(sequence.encode())


def write_scan(root, sequence, frame, points, raw_labels):
    folder = root / "sequences" / sequence
    for name in ("velodyne", "labels"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    points.astype("<f4").tofile(folder / "velodyne" / f"{frame}.bin")
    if raw_labels is not None:
        raw_labels.astype("<u4").tofile(folder / "labels" / f"{frame}.label")


def random_scan(generator):
    """(points float32 (2000, 4), raw labels uint32 (2000,) with instance ids in the high bits)."""
    ground = generator.uniform((-30, -30, -1.8), (30, 30, -1.6), (1000, 3))
    wall = generator.uniform((-30, 12, -1.6), (30, 12.5, 1.8), (600, 3))
    centre = generator.uniform((4, -8, -1.6), (12, 4, -1.6))
    box = centre + generator.uniform((-2, -1, 0.1), (2, 1, 1.5), (400, 3))
    xyz = np.concatenate((ground, wall, box))
    intensity = np.repeat((0.2, 0.5, 0.9), (1000, 600, 400)) + generator.normal(0, 0.02, 2000)
    points = np.column_stack((xyz, intensity)).astype(np.float32)
    raw_car = generator.choice((_RAW_CAR, _RAW_MOVING_CAR)) | (7 << 16)
    return points, np.repeat((_RAW_ROAD, _RAW_BUILDING, raw_car), (1000, 600, 400)).astype(np.uint32)
