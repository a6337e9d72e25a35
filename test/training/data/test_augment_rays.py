"""Random loss of rays: rings found in the order of points, rings and patches left out."""

import numpy as np
import pytest

from pvd_core.taxonomy import SEMANTICKITTI
from training.data.augment import AugmentationConfig, augment
from training.data.augmentation.rays import keep_outside_patches, keep_some_points, keep_some_rings
from training.data.augmentation.rings import rings_of
from training.data.example import Example
from training.data.scan_files import read_points

NUM_RINGS, NUM_AZIMUTHS = 32, 90


def turning_scan():
    """(points float32 (N, 4), rings (N,)) in SemanticKITTI's order; on each ring some rays without a return."""
    generator = np.random.default_rng(0)
    elevations = np.deg2rad(np.linspace(2, -24, NUM_RINGS))[:, None]
    azimuths = (np.arange(NUM_AZIMUTHS) + 0.5) * 2 * np.pi / NUM_AZIMUTHS
    ranges = generator.uniform(5, 40, (NUM_RINGS, NUM_AZIMUTHS))
    x = ranges * np.cos(elevations) * np.cos(azimuths)
    y = ranges * np.cos(elevations) * np.sin(azimuths)
    z = ranges * np.sin(elevations)
    points = np.stack((x, y, z, np.full_like(x, 0.3)), axis=-1).reshape(-1, 4).astype(np.float32)
    rings = np.repeat(np.arange(NUM_RINGS), NUM_AZIMUTHS)
    is_there = generator.random(len(points)) < 0.8
    return points[is_there], rings[is_there]


def test_rings_are_found_in_the_order_of_the_points():
    points, rings = turning_scan()
    assert (rings_of(points) == rings).all()


def test_real_scans_have_the_64_rings_of_their_sensor(shared_data):
    points = read_points(shared_data / "semantickitti/sequences/00/velodyne/000000.bin")
    rings = rings_of(points)
    assert rings.max() + 1 == 64
    inclinations = np.arctan2(points[:, 2], np.hypot(points[:, 0], points[:, 1]))
    medians = [np.median(inclinations[rings == ring]) for ring in range(64)]
    assert (np.diff(medians) < 0).all()


def test_points_in_any_other_order_fall_into_rows_of_equal_inclination():
    points, _ = turning_scan()
    points = points[np.random.default_rng(1).permutation(len(points))]
    rows = rings_of(points)
    assert (rows.min(), rows.max()) == (0, 63)
    inclinations = np.arctan2(points[:, 2], np.hypot(points[:, 0], points[:, 1]))
    assert max(np.ptp(inclinations[rows == row]) for row in np.unique(rows)[1:-1]) < np.deg2rad(0.5)


def test_rings_are_kept_or_lost_whole_and_at_regular_steps_or_at_random():
    points, rings = turning_scan()
    kept_steps = set()
    for seed in range(100):
        keep = keep_some_rings(points, np.random.default_rng(seed))
        kept_rings = np.unique(rings[keep])
        assert (np.isin(rings, kept_rings) == keep).all()
        steps = np.diff(kept_rings)
        kept_steps.add(steps[0] if len(set(steps)) == 1 else "irregular")
    assert {2, 3, 4, "irregular"} <= kept_steps


def test_patch_takes_all_points_in_a_stretch_of_azimuth_and_distance_and_no_others():
    generator = np.random.default_rng(0)
    points = generator.uniform(-40, 40, (20000, 4)).astype(np.float32)
    azimuths, distances = np.arctan2(points[:, 1], points[:, 0]), np.hypot(points[:, 0], points[:, 1])
    num_lost = []
    for seed in range(60):
        lost = ~keep_outside_patches(points, np.random.default_rng(seed), 1)
        num_lost.append(lost.sum())
        if lost.sum() < 2:
            continue
        middle = np.angle(np.exp(1j * azimuths[lost]).mean())
        turns = np.angle(np.exp(1j * (azimuths - middle)))
        assert np.ptp(turns[lost]) <= np.deg2rad(20)
        inside = (turns > turns[lost].min()) & (turns < turns[lost].max())
        inside &= (distances > distances[lost].min()) & (distances < distances[lost].max())
        assert lost[inside].all()
    assert 15 < num_lost.count(0) < 45
    assert max(num_lost) > 50


def test_lost_rays_never_leave_an_empty_scan():
    points = np.ones((1, 4), np.float32)
    for seed in range(50):
        generator = np.random.default_rng(seed)
        assert keep_some_points(points, generator, 0.99).any()
        assert keep_outside_patches(points, generator, 3).any()
        assert keep_some_rings(points, generator).any()


@pytest.mark.parametrize("step", [{"drop_rings": 1.0}, {"drop_patches": 5}, {"drop_points": 0.5}])
def test_points_and_labels_stay_together(step):
    points, _ = turning_scan()
    points[:, 3] = np.arange(len(points))
    config = AugmentationConfig(rotate_degrees=0, flip=False, scale=(1.0, 1.0), translate_metres=0, **step)
    scan = Example.of_scan(points, np.arange(len(points)))
    kept = augment(scan, np.random.default_rng(2), config, SEMANTICKITTI)
    assert 0 < len(kept) < len(points)
    assert (kept.points[:, 3] == kept.labels).all()
