"""Errors of trajectories against plain loops, a search, and ways whose errors are known."""

import itertools

import numpy as np
import pytest
from scipy import optimize
from scipy.spatial.transform import Rotation

from scripts.slam_trajectory.errors import aligned, errors_of, errors_since_start_m, stretches


def random_walk(seed, num_poses=60, step_m=1.0):
    """float64 (N, 4, 4): a sensor that drives on and turns at random."""
    generator = np.random.default_rng(seed)
    poses = np.tile(np.eye(4), (num_poses, 1, 1))
    for before, pose in itertools.pairwise(poses):
        step = np.eye(4)
        step[:3, :3] = Rotation.from_rotvec(generator.normal(0, 0.05, 3)).as_matrix()
        step[:3, 3] = step_m * generator.uniform(0.5, 1.5), *generator.normal(0, 0.02, 2)
        pose[...] = before @ step
    return poses


def noisy(poses, seed, sigma_m=0.3):
    found = poses.copy()
    found[:, :3, 3] += np.random.default_rng(seed).normal(0, sigma_m, (len(poses), 3))
    return found


def test_a_trajectory_in_another_frame_has_no_error():
    true, elsewhere = random_walk(0), np.eye(4)
    elsewhere[:3, :3] = Rotation.from_rotvec((0.3, -1.2, 2.0)).as_matrix()
    elsewhere[:3, 3] = 50, -20, 3
    errors = errors_of(elsewhere @ true, true)
    wrong = (errors.ate_m, errors.per_10_m_cm, errors.step_mm, errors.drift_percent)
    np.testing.assert_allclose(wrong, 0, atol=1e-8)


@pytest.mark.parametrize("seed", range(3))
def test_no_other_turn_and_shift_fits_better_than_the_aligned_trajectory(seed):
    true = random_walk(seed)
    estimated = noisy(true, seed + 10)
    wanted, found = true[:, :3, 3], estimated[:, :3, 3]

    def residuals(parameters):
        return (Rotation.from_rotvec(parameters[:3]).apply(found) + parameters[3:] - wanted).ravel()

    best = optimize.least_squares(residuals, np.zeros(6), xtol=1e-14, ftol=1e-14, gtol=1e-14).fun
    by_search = np.sqrt(np.mean(np.sum(best.reshape(-1, 3) ** 2, axis=1)))
    assert errors_of(estimated, true).ate_m == pytest.approx(by_search, rel=1e-6)


def test_a_mirrored_trajectory_is_not_mirrored_back():
    true = random_walk(1)
    mirrored = true.copy()
    mirrored[:, :3, 3] = np.random.default_rng(0).normal(0, 5, (len(true), 3))
    true[:, :3, 3] = mirrored[:, :3, 3] * (1, 1, -1)
    assert np.abs(aligned(mirrored, true) - true[:, :3, 3]).max() > 1


def test_relative_errors_are_those_of_plain_loops():
    true = random_walk(2)
    estimated = noisy(true, 3)
    driven = [0.0]
    for before, pose in itertools.pairwise(true):
        driven.append(driven[-1] + np.linalg.norm(pose[:3, 3] - before[:3, 3]))
    pairs = []
    for start in range(len(true)):
        ends = [end for end in range(len(true)) if driven[end] - driven[start] >= 10]
        pairs += [(start, ends[0])] if ends else []
    assert np.column_stack(stretches(true, 10.0)).tolist() == [list(pair) for pair in pairs]

    def error_m(start, end):
        moves = [np.linalg.solve(poses[start], poses[end]) for poses in (estimated, true)]
        return np.linalg.norm(moves[0][:3, 3] - moves[1][:3, 3])

    def rms(all_pairs):
        return np.sqrt(np.mean([error_m(*pair) ** 2 for pair in all_pairs]))

    errors = errors_of(estimated, true)
    assert errors.path_m == pytest.approx(driven[-1])
    assert errors.per_10_m_cm == pytest.approx(100 * rms(pairs))
    assert errors.step_mm == pytest.approx(1000 * rms([(n, n + 1) for n in range(len(true) - 1)]))
    assert errors.drift_percent == pytest.approx(100 * error_m(0, len(true) - 1) / driven[-1])
    assert errors_since_start_m(estimated, true)[7] == pytest.approx(error_m(0, 7))


def test_odometry_that_is_a_hundredth_short_drifts_one_percent():
    true = np.tile(np.eye(4), (101, 1, 1))
    true[:, 0, 3] = np.arange(101)
    estimated = true.copy()
    estimated[:, 0, 3] *= 0.99
    errors = errors_of(estimated, true)
    found = (errors.path_m, errors.drift_percent, errors.per_10_m_cm, errors.step_mm)
    np.testing.assert_allclose(found, (100, 1, 10, 10))
    np.testing.assert_allclose(errors.ate_m, np.std(0.01 * np.arange(101)))


def test_a_way_that_is_too_short_for_a_stretch_has_none():
    assert errors_of(random_walk(0, 5), random_walk(0, 5)).per_10_m_cm is None
