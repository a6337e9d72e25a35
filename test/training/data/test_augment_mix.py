"""Two scans woven into one: which points come from which, and that nothing is lost in between."""

import functools

import numpy as np
import pytest

from pvd_core.taxonomy import SEMANTICKITTI, SEMANTICKITTI_MULTISCAN
from training.data.augmentation.groups import (
    classes_beside_the_road,
    ground_classes,
    paved_classes,
    rare_classes,
)
from training.data.augmentation.rings import azimuths_of, inclinations_of, rings_of
from training.data.augmentation.swap import laser_mix, polar_mix
from training.data.example import Example
from training.data.mix import MixingConfig, mix

NUM_RINGS, NUM_AZIMUTHS = 24, 120
RARE_CLASSES = rare_classes(SEMANTICKITTI)


def turning_scan(which):
    """A scan in SemanticKITTI's order; intensity says which scan a point is from and which one it is. Rare points
    are of objects 1 and 2."""
    generator = np.random.default_rng(which)
    elevations = np.deg2rad(np.linspace(2.5, -24, NUM_RINGS))[:, None]
    azimuths = (np.arange(NUM_AZIMUTHS) + 0.5) * 2 * np.pi / NUM_AZIMUTHS
    ranges = generator.uniform(5, 40, (NUM_RINGS, NUM_AZIMUTHS))
    x = ranges * np.cos(elevations) * np.cos(azimuths)
    y = ranges * np.cos(elevations) * np.sin(azimuths)
    z = ranges * np.sin(elevations)
    number = np.arange(x.size).reshape(x.shape) + 10_000 * which
    points = np.stack((x, y, z, number), axis=-1).reshape(-1, 4).astype(np.float32)
    labels = np.where(generator.random(len(points)) < 0.1, generator.choice(RARE_CLASSES, len(points)), 9)
    instances = np.where(labels == 9, 0, 1 + np.arange(len(points)) % 2)
    return Example.of_scan(points, labels.astype(np.uint8), instances)


@pytest.fixture(scope="module")
def first():
    return turning_scan(0)


@pytest.fixture(scope="module")
def second():
    return turning_scan(1)


def is_from_second(mixed):
    return mixed.points[:, 3] >= 10_000


def test_laser_mix_takes_each_ray_from_one_of_the_scans(first, second):
    for seed in range(20):
        mixed = laser_mix(first, second, np.random.default_rng(seed))
        rays = mixed.points[:, 3].astype(int) % 10_000
        assert sorted(rays) == list(range(NUM_RINGS * NUM_AZIMUTHS))
        which = is_from_second(mixed).astype(int)
        assert (mixed.points == np.stack((first.points, second.points))[which, rays]).all()
        assert (mixed.labels == np.stack((first.labels, second.labels))[which, rays]).all()
        assert mixed.is_current.all()


def test_laser_mix_changes_scan_at_three_to_six_bands_of_inclination_and_sometimes_at_azimuths(first, second):
    nums_changes, nums_with_sectors = set(), 0
    for seed in range(80):
        mixed = laser_mix(first, second, np.random.default_rng(seed))
        order = np.argsort(mixed.points[:, 3] % 10_000)
        grid = is_from_second(mixed)[order].reshape(NUM_RINGS, NUM_AZIMUTHS)
        nums_changes.add(int(np.abs(np.diff(grid[:, 0].astype(int))).sum()))
        nums_with_sectors += bool((grid != grid[:, :1]).any())
        assert 0.15 < grid.mean() < 0.85
    assert nums_changes == {2, 3, 4, 5}
    assert 20 < nums_with_sectors < 60


def test_polar_mix_swaps_half_a_turn_half_of_the_time(first, second):
    num_swapped = 0
    for seed in range(60):
        mixed = polar_mix(first, second, np.random.default_rng(seed), SEMANTICKITTI)
        points, labels = mixed.points, mixed.labels
        kept = points[points[:, 3] < 10_000]
        if len(kept) == len(first):
            continue
        num_swapped += 1
        assert len(kept) == pytest.approx(len(first) / 2, abs=NUM_RINGS)
        turns = azimuths_of(first.points[~np.isin(first.points[:, 3], kept[:, 3])])
        gap = np.diff(np.sort(np.concatenate((turns, turns + 2 * np.pi)))).max()
        assert gap == pytest.approx(np.pi, abs=2 * np.pi / NUM_AZIMUTHS * 1.5)
        new = points[(points[:, 3] >= 10_000) & ~np.isin(labels, RARE_CLASSES)]
        assert len(new) > 0.4 * len(first)
    assert 20 < num_swapped < 40


def test_polar_mix_adds_rare_points_three_times_turned_about_z(first, second):
    mixed = polar_mix(first, second, np.random.default_rng(4), SEMANTICKITTI)
    points, labels = mixed.points, mixed.labels
    is_new_rare = is_from_second(mixed) & np.isin(labels, RARE_CLASSES)
    for point, label in zip(second.points, second.labels, strict=True):
        if label not in RARE_CLASSES:
            continue
        copies = points[is_new_rare & (points[:, 3] == point[3])]
        assert len(copies) == 3
        assert (labels[points[:, 3] == point[3]] == label).all()
        assert np.hypot(copies[:, 0], copies[:, 1]) == pytest.approx(np.hypot(point[0], point[1]), rel=1e-5)
        assert (copies[:, 2] == point[2]).all()
        angles = np.rad2deg(np.sort((azimuths_of(copies) - azimuths_of(point[None])) % (2 * np.pi)))
        # A copy that stays where it is may come out as a turn of a tiny bit less than 360 degrees.
        angles = np.sort(np.where(angles > 359.9, 0, angles))
        assert angles[0] == pytest.approx(0, abs=0.01)
        assert 0 <= angles[1] <= 120
        assert 120 <= angles[2] <= 240


@pytest.mark.parametrize("weave", [laser_mix, functools.partial(polar_mix, taxonomy=SEMANTICKITTI)])
def test_mixed_scan_is_in_scan_order_so_that_its_rings_are_found(first, second, weave):
    for seed in range(10):
        points = weave(first, second, np.random.default_rng(seed)).points
        rings = rings_of(points)
        assert rings.max() + 1 == NUM_RINGS
        assert max(np.ptp(inclinations_of(points[rings == ring])) for ring in range(NUM_RINGS)) < 1e-3


def test_objects_of_different_scans_and_copies_have_different_numbers(first, second):
    mixed = laser_mix(first, second, np.random.default_rng(0))
    is_second = is_from_second(mixed)
    assert set(mixed.instances[~is_second]) == {0, 1, 2}
    assert set(mixed.instances[is_second]) == {0, 3, 4}
    mixed = polar_mix(first, second, np.random.default_rng(4), SEMANTICKITTI)
    copied = mixed.instances[is_from_second(mixed) & (mixed.instances > 0)]
    assert len(set(copied)) == 3 * 2
    assert not set(copied) & set(first.instances)
    assert (np.isin(mixed.labels, RARE_CLASSES) == (mixed.instances > 0)).all()


def test_share_of_mixed_scans_is_as_asked(first, second):
    config = MixingConfig(laser_mix=0.2, polar_mix=0.3)
    mixed = [
        mix(first, lambda g: second, None, np.random.default_rng(seed), config, SEMANTICKITTI) for seed in range(300)
    ]
    num_untouched = sum(scan.points is first.points for scan in mixed)
    num_laser = sum(len(scan) == len(first) and scan.points is not first.points for scan in mixed)
    assert 120 < num_untouched < 180
    assert 35 < num_laser < 85


def test_groups_of_classes_have_the_moving_kinds_where_the_taxonomy_has_them():
    assert rare_classes(SEMANTICKITTI) == (2, 3, 4, 5, 6, 7, 8)
    assert rare_classes(SEMANTICKITTI_MULTISCAN) == (2, 3, 4, 5, 6, 7, 8, 21, 22, 23, 24, 25)
    assert classes_beside_the_road(SEMANTICKITTI_MULTISCAN) == (*classes_beside_the_road(SEMANTICKITTI), 22)
    for taxonomy in (SEMANTICKITTI, SEMANTICKITTI_MULTISCAN):
        assert ground_classes(taxonomy) == (9, 10, 11, 12, 17)
        assert paved_classes(taxonomy) == (9, 10, 11)
