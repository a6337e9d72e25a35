"""Mixes two scans into one: LaserMix (bands of inclination) and PolarMix (half of the azimuths), spec 2.6.

A scan is in the sensor's frame, not yet rotated or tilted. Results are in scan order: by ring, then by azimuth. Objects
of the other scan, and copies of them, get numbers of their own.
"""

import numpy as np

from pvd_core.taxonomy import Taxonomy
from training.data.augmentation.geometry import rotated_about_z
from training.data.augmentation.groups import rare_classes
from training.data.augmentation.rings import azimuths_of, in_scan_order, inclinations_of, rings_of
from training.data.example import Example

_Part = tuple[Example, np.ndarray]  # some points of a scan and their rings

_INCLINATIONS_DEG = (-25.0, 3.0)
_NUMS_BANDS = (3, 4, 5, 6)
# With 1 sector the bands go all around. Otherwise bands and sectors alternate like a chessboard, which closes on itself
# only with an even number of sectors.
_NUMS_SECTORS = (1, 1, 2, 4)


def laser_mix(scan: Example, other: Example, generator: np.random.Generator) -> Example:
    """Splits directions into cells, inclination bands times azimuth sectors, and takes every second cell from
    `other`."""
    num_bands, num_sectors = generator.choice(_NUMS_BANDS), generator.choice(_NUMS_SECTORS)
    first_azimuth = generator.uniform(0, 2 * np.pi)

    def is_odd(points: np.ndarray) -> np.ndarray:
        lowest, highest = np.deg2rad(_INCLINATIONS_DEG)
        share_below_top = (highest - inclinations_of(points)) / (highest - lowest)
        bands = np.clip((share_below_top * num_bands).astype(np.int64), 0, num_bands - 1)
        shares_of_turn = (azimuths_of(points) - first_azimuth) / (2 * np.pi) % 1
        sectors = np.minimum((shares_of_turn * num_sectors).astype(np.int64), num_sectors - 1)
        return (bands + sectors) % 2 == 1

    other = other.with_instances_above(scan.highest_instance)
    return _joined([_part(scan, ~is_odd(scan.points)), _part(other, is_odd(other.points))])


def polar_mix(scan: Example, other: Example, generator: np.random.Generator, taxonomy: Taxonomy) -> Example:
    """Half of the time takes the points in a random 180 degrees of azimuth from `other`. Always adds the points of rare
    classes of `other` three times: where they are, rotated by a random angle of 0 to 120 degrees, and rotated by
    another of 120 to 240 degrees."""
    other = other.with_instances_above(scan.highest_instance)
    is_rare = np.isin(other.labels, rare_classes(taxonomy))
    if generator.random() < 0.5:
        first_azimuth = generator.uniform(0, 2 * np.pi)
        is_swapped = _is_in_half_turn(other.points, first_azimuth)
        parts = [_part(scan, ~_is_in_half_turn(scan.points, first_azimuth)), _part(other, is_swapped | is_rare)]
    else:
        parts = [_part(scan, slice(None)), _part(other, is_rare)]
    rare, rings = _part(other, is_rare)
    third = 2 * np.pi / 3
    for angle in (generator.uniform(0, third), generator.uniform(third, 2 * third)):
        turned = rare.with_points(rotated_about_z(rare.points, angle))
        parts.append((turned.with_instances_above(max(part.highest_instance for part, _ in parts)), rings))
    return _joined(parts)


def _is_in_half_turn(points: np.ndarray, first_azimuth: float) -> np.ndarray:
    return (azimuths_of(points) - first_azimuth) % (2 * np.pi) < np.pi


def _part(scan: Example, chosen: np.ndarray | slice) -> _Part:
    """The chosen points of a scan. Their rings are found now, because they cannot be once the points are rotated."""
    return scan.chosen(chosen), rings_of(scan.points)[chosen]


def _joined(parts: list[_Part]) -> Example:
    scan, rings = Example.joined([part for part, _ in parts]), np.concatenate([rings for _, rings in parts])
    return scan.chosen(in_scan_order(scan.points, rings))
