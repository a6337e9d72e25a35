"""Random loss of rays. Each function takes points float32 (N, 4) and returns which of them are kept, bool (N,): at
least one."""

import numpy as np

from training.data.augmentation.rings import rings_of

# Limits of a patch of lost rays: its width in azimuth, and its depth as a share of the distance of its centre.
_PATCH_DEGREES = (2.0, 20.0)
_PATCH_DEPTH = (0.05, 0.5)
_RING_STEPS = (2, 3, 4)
_MAX_SHARE_OF_LOST_RINGS = 0.5


def keep_some_points(points: np.ndarray, generator: np.random.Generator, max_dropped: float) -> np.ndarray:
    """Drops a random share of the points; the share is uniform from 0 to `max_dropped`."""
    share = generator.uniform(0, max_dropped)
    return _at_least_one(generator.random(len(points)) >= share)


def keep_outside_patches(points: np.ndarray, generator: np.random.Generator, max_patches: int) -> np.ndarray:
    """Drops the points in 0 to `max_patches` patches, as water, glass and black paint lose them. A patch is an interval
    of azimuth times one of horizontal distance around a random point."""
    azimuths = np.arctan2(points[:, 1], points[:, 0])
    distances = np.hypot(points[:, 0], points[:, 1])
    keep = np.ones(len(points), dtype=bool)
    for _ in range(generator.integers(0, max_patches + 1)):
        centre = generator.integers(len(points))
        half_width = np.deg2rad(generator.uniform(*_PATCH_DEGREES)) / 2
        depth = generator.uniform(*_PATCH_DEPTH) * distances[centre]
        difference = np.abs(azimuths - azimuths[centre])
        is_in_sector = np.minimum(difference, 2 * np.pi - difference) < half_width
        keep &= ~(is_in_sector & (np.abs(distances - distances[centre]) < depth / 2))
    return _at_least_one(keep)


def keep_some_rings(points: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Half of the time keeps every second, third or fourth ring, like a sensor with fewer beams; else drops a random
    choice of up to about half of the rings."""
    rings = rings_of(points)
    num_rings = int(rings.max()) + 1
    if generator.random() < 0.5:
        step = int(generator.choice(_RING_STEPS))
        is_kept_ring = np.arange(num_rings) % step == generator.integers(step)
    else:
        share = generator.uniform(0, _MAX_SHARE_OF_LOST_RINGS)
        is_kept_ring = generator.random(num_rings) >= share
    return _at_least_one(is_kept_ring[rings])


def _at_least_one(keep: np.ndarray) -> np.ndarray:
    keep[:1] |= not keep.any()
    return keep
