"""Two scans woven into one: LaserMix (bands of inclination) and PolarMix (half a turn), spec 2.6.

A scan is a pair (points float32 (N, 4), labels (N,)), as its sensor saw it, not yet turned or tilted. What comes back
is in scan order: ring after ring, each by azimuth.
"""

import numpy as np

from training.data.augmentation.geometry import rotated_about_z
from training.data.augmentation.rings import azimuths_of, in_scan_order, inclinations_of, rings_of

RARE_CLASSES = (2, 3, 4, 5, 6, 7, 8)
"""Class ids of what stands or moves on streets and is not a car: bicycle to motorcyclist."""

_INCLINATIONS_DEG = (-25.0, 3.0)
_NUMS_BANDS = (3, 4, 5, 6)
# One sector: bands go all around. An even number: bands and sectors make a chequered pattern that closes.
_NUMS_SECTORS = (1, 1, 2, 4)


def laser_mix(scan, other, generator):
    """Every second cell of inclination bands times azimuth sectors comes from `other`."""
    num_bands, num_sectors = generator.choice(_NUMS_BANDS), generator.choice(_NUMS_SECTORS)
    first_azimuth = generator.uniform(0, 2 * np.pi)

    def is_odd(points):
        lowest, highest = np.deg2rad(_INCLINATIONS_DEG)
        share_below_top = (highest - inclinations_of(points)) / (highest - lowest)
        bands = np.clip((share_below_top * num_bands).astype(np.int64), 0, num_bands - 1)
        turns = (azimuths_of(points) - first_azimuth) / (2 * np.pi) % 1
        sectors = np.minimum((turns * num_sectors).astype(np.int64), num_sectors - 1)
        return (bands + sectors) % 2 == 1

    return _woven([_part(scan, ~is_odd(scan[0])), _part(other, is_odd(other[0]))])


def polar_mix(scan, other, generator):
    """Half of the time one half turn comes from `other`; then its points of rare classes are added three times: where
    they are, and turned by one angle up to a third of a turn and one between one and two thirds."""
    is_rare = np.isin(other[1], RARE_CLASSES)
    if generator.random() < 0.5:
        first_azimuth = generator.uniform(0, 2 * np.pi)
        is_swapped = _is_in_half_turn(other[0], first_azimuth)
        parts = [_part(scan, ~_is_in_half_turn(scan[0], first_azimuth)), _part(other, is_swapped | is_rare)]
    else:
        parts = [_part(scan, slice(None)), _part(other, is_rare)]
    points, labels, rings = _part(other, is_rare)
    third = 2 * np.pi / 3
    for angle in (generator.uniform(0, third), generator.uniform(third, 2 * third)):
        parts.append((rotated_about_z(points, angle), labels, rings))
    return _woven(parts)


def _is_in_half_turn(points, first_azimuth):
    return (azimuths_of(points) - first_azimuth) % (2 * np.pi) < np.pi


def _part(scan, chosen):
    """(points, labels, rings) of some points of a scan; a turn of them later would hide their rings."""
    points, labels = scan
    return points[chosen], labels[chosen], rings_of(points)[chosen]


def _woven(parts):
    points, labels, rings = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    order = in_scan_order(points, rings)
    return points[order], labels[order]
