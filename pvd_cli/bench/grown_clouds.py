"""Clouds of any size from one scan, the same ones every time. N points."""

import numpy as np

# Turned by the golden angle, no two copies lie close to each other.
_GOLDEN_ANGLE = np.pi * (3 - np.sqrt(5))
_JITTER_M = 0.05


def cloud_of_size(points, num_points):
    """float32 (num_points, 4) from `points` (N, 4): an even selection of them, or copies turned about the sensor's axis
    with their coordinates jittered, so that the number of voxels grows too."""
    if not len(points):
        return points
    num_copies = -(-num_points // len(points))
    copies = np.concatenate([turned(points, number) for number in range(num_copies)])
    return copies[np.linspace(0, len(copies) - 1, num_points).round().astype(np.int64)]


def turned(points, number):
    """The `number`-th copy of `points`; number 0 is `points` itself."""
    if number == 0:
        return points
    generator = np.random.default_rng(number)
    angle = number * _GOLDEN_ANGLE
    copy = points.copy()
    copy[:, 0] = points[:, 0] * np.cos(angle) - points[:, 1] * np.sin(angle)
    copy[:, 1] = points[:, 0] * np.sin(angle) + points[:, 1] * np.cos(angle)
    # Points without a return are all zeros, and stay so.
    is_measured_N = (points[:, :3] != 0).any(axis=1)
    jitter = generator.normal(0, _JITTER_M, (len(points), 3)).astype(np.float32)
    copy[:, :3] += jitter * is_measured_N[:, None]
    return copy
