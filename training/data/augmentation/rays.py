"""Which rays come back. Each function says which points stay, bool (N,); at least one does."""

import numpy as np

from training.data.augmentation.rings import rings_of

# Of a patch of lost rays: its width in azimuth, and its depth as a share of the distance of its middle.
_PATCH_DEGREES = (2.0, 20.0)
_PATCH_DEPTH = (0.05, 0.5)
_RING_STEPS = (2, 3, 4)
_LARGEST_SHARE_OF_LOST_RINGS = 0.5


def keep_some_points(points, generator, max_dropped):
    """Drops a random share of the points, the share itself uniform from 0 to `max_dropped`."""
    share = generator.uniform(0, max_dropped)
    return _at_least_one(generator.random(len(points)) >= share)


def keep_outside_patches(points, generator, max_patches):
    """Drops 0 to `max_patches` patches of the ground plan: a stretch of azimuth times one of distance around a random
    point, as water, glass and black paint lose them."""
    azimuths = np.arctan2(points[:, 1], points[:, 0])
    distances = np.hypot(points[:, 0], points[:, 1])
    keep = np.ones(len(points), dtype=bool)
    for _ in range(generator.integers(0, max_patches + 1)):
        middle = generator.integers(len(points))
        half_width = np.deg2rad(generator.uniform(*_PATCH_DEGREES)) / 2
        depth = generator.uniform(*_PATCH_DEPTH) * distances[middle]
        turn = np.abs(azimuths - azimuths[middle])
        is_in_sector = np.minimum(turn, 2 * np.pi - turn) < half_width
        keep &= ~(is_in_sector & (np.abs(distances - distances[middle]) < depth / 2))
    return _at_least_one(keep)


def keep_some_rings(points, generator):
    """Every second, third or fourth ring, as of a sensor with fewer beams; or, as likely, all but a random choice of up
    to half of them."""
    rings = rings_of(points)
    num_rings = int(rings.max()) + 1
    if generator.random() < 0.5:
        step = int(generator.choice(_RING_STEPS))
        is_kept_ring = np.arange(num_rings) % step == generator.integers(step)
    else:
        share = generator.uniform(0, _LARGEST_SHARE_OF_LOST_RINGS)
        is_kept_ring = generator.random(num_rings) >= share
    return _at_least_one(is_kept_ring[rings])


def _at_least_one(keep):
    keep[:1] |= not keep.any()
    return keep
