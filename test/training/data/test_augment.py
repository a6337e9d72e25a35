"""Random changes to training scans."""

import dataclasses

import numpy as np
import pytest

from pvd_core.borders.errors import UserError
from pvd_core.taxonomy import SEMANTICKITTI
from training.data.augment import AugmentationConfig, augment
from training.data.augmentation.geometry import (
    flip,
    jitter_ranges,
    offset_lasers,
    rotate_about_z,
    scale_xy,
    scale_z,
    shift_height,
    tilt,
    translate,
)
from training.data.augmentation.intensity import (
    add_intensity_noise,
    bend_intensity,
    jitter_intensity,
    jitter_materials,
    replace_intensity,
)
from training.data.augmentation.kerbs import raise_kerbs
from training.data.example import Example

OFF = AugmentationConfig(rotate_degrees=0, flip=False, scale=(1.0, 1.0), translate_metres=0)

EVERYTHING = AugmentationConfig(
    scale_z=(0.9, 1.1),
    shift_height_metres=0.3,
    tilt_degrees=2.0,
    raise_kerbs_metres=0.1,
    range_noise_metres=0.03,
    laser_offset_metres=0.05,
    drop_rings=0.5,
    drop_patches=3,
    drop_points=0.3,
    intensity_off=0.3,
    intensity_jitter=0.1,
    intensity_gamma=0.5,
    intensity_by_class=0.2,
    intensity_noise=0.05,
)


@pytest.fixture
def points():
    return np.random.default_rng(0).normal(size=(500, 4)).astype(np.float32)


@pytest.fixture
def generator():
    return np.random.default_rng(1)


def test_rotation_turns_all_points_by_one_angle_within_the_limit(points):
    angles = []
    for seed in range(200):
        turned = rotate_about_z(points, np.random.default_rng(seed), 45)
        before, after = np.arctan2(points[:, 1], points[:, 0]), np.arctan2(turned[:, 1], turned[:, 0])
        turns = np.angle(np.exp(1j * (after - before)))
        assert turns == pytest.approx(turns[0], abs=1e-5)
        assert (turned[:, 2:] == points[:, 2:]).all()
        angles.append(np.rad2deg(turns[0]))
    assert -45 <= min(angles) < -40
    assert 40 < max(angles) <= 45


def test_flip_mirrors_x_y_both_or_none_each_as_often(points):
    counts = {}
    for seed in range(400):
        signs = tuple((flip(points, np.random.default_rng(seed)) / points)[0])
        counts[signs] = counts.get(signs, 0) + 1
    assert set(counts) == {(1, 1, 1, 1), (-1, 1, 1, 1), (1, -1, 1, 1), (-1, -1, 1, 1)}
    assert min(counts.values()) > 70


def test_scale_is_one_factor_for_x_and_y_only(points, generator):
    ratio = scale_xy(points, generator, (0.95, 1.05)) / points
    assert ratio[:, :2] == pytest.approx(ratio[0, 0], rel=1e-6)
    assert 0.95 <= ratio[0, 0] <= 1.05
    assert ratio[0, 0] != 1
    assert (ratio[:, 2:] == 1).all()


def test_translation_shifts_all_points_alike_with_the_given_spread(points):
    shifts = [translate(points, np.random.default_rng(seed), 0.1)[0] - points[0] for seed in range(500)]
    moved = translate(points, np.random.default_rng(0), 0.1)
    assert np.allclose(moved - points, shifts[0], atol=1e-6)
    assert np.std(shifts, axis=0)[:3] == pytest.approx(0.1, rel=0.15)
    assert (np.array(shifts)[:, 3] == 0).all()


def test_translation_may_be_stronger_along_one_axis(points):
    config = dataclasses.replace(OFF, translate_metres=(0.5, 0.5, 0.1))
    scan = Example.of_scan(points, np.zeros(500, np.uint8))
    moved = [augment(scan, np.random.default_rng(seed), config, SEMANTICKITTI).points for seed in range(500)]
    shifts = np.array([scan[0] - points[0] for scan in moved])
    assert shifts.std(axis=0) == pytest.approx((0.5, 0.5, 0.1, 0), rel=0.15, abs=1e-6)
    assert translate(points, np.random.default_rng(7), (0.1, 0.1, 0.1)).tolist() == (
        translate(points, np.random.default_rng(7), 0.1).tolist()
    )


def test_intensity_jitter_leaves_coordinates_alone(points, generator):
    changed = jitter_intensity(points, generator, 0.2)
    assert (changed[:, :3] == points[:, :3]).all()
    ratio = changed[:, 3] / points[:, 3]
    assert ratio == pytest.approx(ratio[0], rel=1e-6)
    assert 0.8 <= ratio[0] <= 1.2


def test_z_scale_is_one_factor_for_z_only(points, generator):
    ratio = scale_z(points, generator, (0.9, 1.1)) / points
    assert ratio[:, 2] == pytest.approx(ratio[0, 2], rel=1e-6)
    assert 0.9 <= ratio[0, 2] <= 1.1
    assert ratio[0, 2] != 1
    assert (ratio[:, [0, 1, 3]] == 1).all()


def test_height_shift_moves_z_of_all_points_within_the_limit(points):
    shifts = []
    for seed in range(200):
        moved = shift_height(points, np.random.default_rng(seed), 0.3)
        assert (moved[:, [0, 1, 3]] == points[:, [0, 1, 3]]).all()
        shifts.append(moved[0, 2] - points[0, 2])
        assert moved[:, 2] - points[:, 2] == pytest.approx(shifts[-1], abs=1e-6)
    assert -0.3 <= min(shifts) < -0.28
    assert 0.28 < max(shifts) <= 0.3


def test_tilt_turns_the_scan_by_a_pitch_and_a_roll_within_the_limit(points):
    axes = np.eye(3, 4, dtype=np.float32)
    slopes = []
    for seed in range(300):
        turned = tilt(points, np.random.default_rng(seed), 2)
        assert np.linalg.norm(turned[:, :3], axis=1) == pytest.approx(np.linalg.norm(points[:, :3], axis=1), rel=1e-5)
        assert (turned[:, 3] == points[:, 3]).all()
        forward, left = tilt(axes, np.random.default_rng(seed), 2)[:2, 2]
        slopes.append(np.rad2deg(np.arcsin((forward, left))))
    assert np.abs(slopes).max() <= 2.01
    assert (np.abs(slopes).max(axis=0) > 1.9).all()
    assert abs(np.corrcoef(np.transpose(slopes))[0, 1]) < 0.2


def test_raised_kerbs_lift_what_is_beside_the_road_by_one_height(points):
    labels = np.arange(500) % 20
    is_beside = np.isin(labels, (2, 6, 11, 12, 13, 14, 15, 16, 17, 18, 19))
    heights = []
    for seed in range(200):
        moved = raise_kerbs(points, labels, np.random.default_rng(seed), 0.12, SEMANTICKITTI)
        assert (moved[:, [0, 1, 3]] == points[:, [0, 1, 3]]).all()
        assert (moved[~is_beside] == points[~is_beside]).all()
        lifts = (moved - points)[is_beside, 2]
        assert np.ptp(lifts) < 1e-6
        heights.append(lifts[0])
    assert 0 <= min(heights) < 0.01
    assert 0.11 < max(heights) <= 0.1201


def test_each_class_gets_an_intensity_factor_of_its_own(points):
    labels = np.arange(500) % 20
    changed = jitter_materials(points, labels, np.random.default_rng(3), 0.3, SEMANTICKITTI)
    assert (changed[:, :3] == points[:, :3]).all()
    ratios = (changed[:, 3] / points[:, 3]).reshape(-1, 20)
    assert ratios == pytest.approx(np.broadcast_to(ratios[0], ratios.shape), rel=1e-5)
    assert len(set(ratios[0].round(4))) == 20
    assert (np.abs(np.log(ratios)) <= 0.3001).all()


def test_range_noise_moves_points_along_their_rays_with_a_spread_of_its_own_a_scan():
    points = np.tile(np.float32([3, 4, 12, 0.5]), (4000, 1))
    spreads = []
    for seed in range(40):
        moved = jitter_ranges(points, np.random.default_rng(seed), 0.05)
        directions = moved[:, :3] / np.linalg.norm(moved[:, :3], axis=1, keepdims=True)
        assert directions == pytest.approx(np.tile([3 / 13, 4 / 13, 12 / 13], (4000, 1)), abs=1e-5)
        spreads.append(np.linalg.norm(moved[:, :3], axis=1).std())
    assert 0 <= min(spreads) < 0.01
    assert 0.04 < max(spreads) < 0.053


def test_all_points_of_a_laser_are_measured_too_far_by_the_same():
    azimuths = np.tile(np.linspace(0.01, 6.2, 50), 64)
    rings = np.repeat(np.arange(64), 50)
    distances = np.random.default_rng(0).uniform(3, 40, len(rings))
    points = np.stack([distances * np.cos(azimuths), distances * np.sin(azimuths), 0.1 * distances, rings], 1)
    points = points.astype(np.float32)
    spreads = []
    for seed in range(40):
        moved = offset_lasers(points, np.random.default_rng(seed), 0.05)
        offsets = np.linalg.norm(moved[:, :3], axis=1) - np.linalg.norm(points[:, :3], axis=1)
        by_laser = offsets.reshape(64, 50)
        assert by_laser == pytest.approx(np.tile(by_laser.mean(1, keepdims=True), (1, 50)), abs=2e-5)
        directions, moved_directions = (a[:, :3] / np.linalg.norm(a[:, :3], axis=1)[:, None] for a in (points, moved))
        assert moved_directions == pytest.approx(directions, abs=1e-5)
        assert (moved[:, 3] == points[:, 3]).all()
        spreads.append(by_laser.mean(1).std())
    assert 0 <= min(spreads) < 0.01
    assert 0.035 < max(spreads) < 0.065


def test_replaced_intensity_is_one_value_for_the_scan_half_of_the_time_zero(points):
    values = []
    for seed in range(200):
        changed = replace_intensity(points, np.random.default_rng(seed))
        assert (changed[:, :3] == points[:, :3]).all()
        assert len(set(changed[:, 3])) == 1
        values.append(changed[0, 3])
    assert 70 < np.sum(np.array(values) == 0) < 130
    assert max(values) > 0.9


def test_bent_intensity_keeps_the_order_of_brightness_and_the_range(points):
    points[:, 3] = np.linspace(0, 1, len(points))
    middles = []
    for seed in range(100):
        bent = bend_intensity(points, np.random.default_rng(seed), 0.7)
        assert (bent[:, :3] == points[:, :3]).all()
        assert (np.diff(bent[:, 3]) > 0).all()
        assert (bent[0, 3], bent[-1, 3]) == (0, 1)
        middles.append(bent[250, 3])
    assert 0.2 < min(middles) < 0.3
    assert 0.65 < max(middles) < 0.75


def test_bending_takes_negative_intensity_as_none(points, generator):
    assert np.isfinite(bend_intensity(points, generator, 0.7)).all()


def test_intensity_noise_has_a_spread_of_its_own_a_scan_and_never_goes_below_zero(points):
    points[:, 3] = 0.5
    spreads = [add_intensity_noise(points, np.random.default_rng(seed), 0.1)[:, 3].std() for seed in range(60)]
    assert min(spreads) < 0.02
    assert 0.085 < max(spreads) < 0.11
    points[:, 3] = 0
    assert add_intensity_noise(points, np.random.default_rng(0), 0.1)[:, 3].min() == 0


def test_dropping_points_keeps_points_and_labels_together(points):
    labels = np.arange(500)
    scan = Example(points, labels, labels, labels % 2 == 0)
    kept = augment(scan, np.random.default_rng(5), dataclasses.replace(OFF, drop_points=0.5), SEMANTICKITTI)
    assert 250 <= len(kept) < 500
    assert (kept.points == points[kept.labels]).all()
    assert (kept.instances == kept.labels).all()
    assert (kept.is_current == (kept.labels % 2 == 0)).all()


def test_augmentation_is_a_pure_function_of_points_and_generator(points):
    config = EVERYTHING
    labels = np.arange(500, dtype=np.uint8) % 20
    before = points.copy()
    scan = Example.of_scan(points, labels)
    first = augment(scan, np.random.default_rng(9), config, SEMANTICKITTI)
    second = augment(scan, np.random.default_rng(9), config, SEMANTICKITTI)
    other = augment(scan, np.random.default_rng(10), config, SEMANTICKITTI)
    assert (points == before).all()
    assert (first.points == second.points).all()
    assert (first.labels == second.labels).all()
    assert first.points.dtype == np.float32
    assert first.points.shape != other.points.shape or (first.points != other.points).any()


def test_switched_off_augmentation_changes_nothing(points, generator):
    labels = np.zeros(500, np.uint8)
    result = augment(Example.of_scan(points, labels), generator, OFF, SEMANTICKITTI)
    assert result.points is points
    assert result.labels is labels


@pytest.mark.parametrize(
    "values",
    [
        {"scale": (1.1, 0.9)},
        {"scale": (0.0, 1.0)},
        {"scale_z": (1.1, 1.0)},
        {"drop_points": 1.0},
        {"rotate_degrees": -1.0},
        {"tilt_degrees": -1.0},
        {"drop_patches": -1},
        {"translate_metres": (0.1, 0.1, -0.1)},
        {"raise_kerbs_metres": -0.1},
        {"intensity_by_class": -0.1},
        {"intensity_off": 1.1},
    ],
)
def test_impossible_augmentation_settings_are_refused(values):
    with pytest.raises(UserError, match="augmentation"):
        AugmentationConfig(**values)


def test_share_of_scans_without_intensity_is_as_asked(points):
    config = dataclasses.replace(OFF, intensity_off=0.3)
    scan = Example.of_scan(points, np.zeros(500, np.uint8))
    scans = [augment(scan, np.random.default_rng(seed), config, SEMANTICKITTI) for seed in range(300)]
    num_off = sum(len(set(scan.points[:, 3])) == 1 for scan in scans)
    assert 60 < num_off < 120


def test_sensor_steps_act_before_the_scene_is_turned(points):
    # A tilt after a turn by a quarter would raise another axis.
    config = dataclasses.replace(OFF, tilt_degrees=2.0, rotate_degrees=180)
    scan = Example.of_scan(points, np.zeros(500, np.uint8))
    turned = augment(scan, np.random.default_rng(3), config, SEMANTICKITTI).points
    tilted_first = tilt(points, np.random.default_rng(3), 2.0)
    assert turned[:, 2] == pytest.approx(tilted_first[:, 2], abs=1e-6)
