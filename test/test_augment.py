"""Random changes to training scans."""

import dataclasses

import numpy as np
import pytest

from pvd_core.errors import UserError
from training.augment import (
    AugmentationConfig,
    augment,
    flip,
    jitter_intensity,
    keep_some_points,
    rotate_about_z,
    scale_xy,
    translate,
)

OFF = AugmentationConfig(rotate_degrees=0, flip=False, scale=(1.0, 1.0), translate_metres=0)


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


def test_intensity_jitter_leaves_coordinates_alone(points, generator):
    changed = jitter_intensity(points, generator, 0.2)
    assert (changed[:, :3] == points[:, :3]).all()
    ratio = changed[:, 3] / points[:, 3]
    assert ratio == pytest.approx(ratio[0], rel=1e-6)
    assert 0.8 <= ratio[0] <= 1.2


def test_dropping_points_keeps_points_and_labels_together(points):
    labels = np.arange(500)
    kept, kept_labels = augment(points, labels, np.random.default_rng(5), dataclasses.replace(OFF, drop_points=0.5))
    assert 250 <= len(kept) < 500
    assert (kept == points[kept_labels]).all()


def test_dropping_points_never_leaves_an_empty_scan():
    for seed in range(50):
        assert keep_some_points(np.zeros((1, 4)), np.random.default_rng(seed), 0.99).any()


def test_augmentation_is_a_pure_function_of_points_and_generator(points):
    config = AugmentationConfig(drop_points=0.3, intensity_jitter=0.1)
    labels = np.arange(500, dtype=np.uint8)
    before = points.copy()
    first = augment(points, labels, np.random.default_rng(9), config)
    second = augment(points, labels, np.random.default_rng(9), config)
    other = augment(points, labels, np.random.default_rng(10), config)
    assert (points == before).all()
    assert all((a == b).all() for a, b in zip(first, second, strict=True))
    assert first[0].dtype == np.float32
    assert first[0].shape != other[0].shape or (first[0] != other[0]).any()


def test_switched_off_augmentation_changes_nothing(points, generator):
    labels = np.zeros(500, np.uint8)
    result = augment(points, labels, generator, OFF)
    assert result[0] is points
    assert result[1] is labels


@pytest.mark.parametrize(
    "values",
    [{"scale": (1.1, 0.9)}, {"scale": (0.0, 1.0)}, {"drop_points": 1.0}, {"rotate_degrees": -1.0}],
)
def test_impossible_augmentation_settings_are_refused(values):
    with pytest.raises(UserError, match="augmentation"):
        AugmentationConfig(**values)
