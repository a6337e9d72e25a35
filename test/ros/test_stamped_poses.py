"""Poses from odometry and TF: between two of them, out of order, late, with jumps, and broken ones."""

from types import SimpleNamespace

import numpy as np
import pytest
from moving_drive import pose_at
from pose_messages import START_NS, odometry, quaternion_of, transforms, truth_at

from pvd_core.borders.errors import UserError
from pvd_ros.poses import FrameTree, NoPoseError, OdometryPoses, PoseLimits
from pvd_ros.poses.rigid import between, checked, matrix_of
from pvd_ros.poses.source import BadPoseError
from pvd_ros.poses.track import KEPT_NS, MOST_POSES, PoseTrack

LIMITS = PoseLimits()
MOUNTED = pose_at(7)


def ns(seconds):
    return START_NS + round(seconds * 1e9)


def track_of(seconds, pose=truth_at):
    track = PoseTrack("a track", LIMITS)
    for t in seconds:
        track.add(ns(t), (pose(t)[:3, 3], quaternion_of(pose(t)[:3, :3])))
    return track


def reason_of(source, *arguments):
    with pytest.raises(NoPoseError) as caught:
        source(*arguments)
    return caught.value.reason


def test_a_pose_between_two_lies_where_a_steady_motion_has_it():
    track = track_of(np.arange(0, 1, 0.02))
    for t in (0.011, 0.5, 0.777):
        np.testing.assert_allclose(track.at(ns(t)), truth_at(t), atol=1e-5)


def test_turns_between_two_quaternions_are_even_and_take_the_short_way():
    start, end = quaternion_of(np.eye(3)), quaternion_of(pose_at(40)[:3, :3])
    for sign in (1, -1):
        half = matrix_of(np.zeros(3), between(start, sign * end, 0.5))
        np.testing.assert_allclose(half[:3, :3], pose_at(20)[:3, :3], atol=1e-12)
    np.testing.assert_array_equal(between(start, start, 0.3), start)


def test_poses_out_of_order_are_sorted_and_repeated_ones_left_out():
    source = OdometryPoses("/odom", LIMITS)
    for t in (0.0, 0.04, 0.02, 0.02, 0.06):
        source.add(odometry(ns(t), truth_at(t)))
    assert source.counters["poses_out_of_order"] == 2
    np.testing.assert_allclose(source.pose(ns(0.03), "velodyne"), truth_at(0.03), atol=1e-5)


@pytest.mark.parametrize(
    ("seconds", "at", "reason"),
    [
        ([], 0.0, "never"),
        ([0.0, 0.1], 0.2, "late"),
        ([0.0, 0.1], 9.0, "stopped"),
        ([0.0, 0.1], -0.1, "too_old"),
        ([0.0, 0.7], 0.3, "gap"),
    ],
)
def test_why_there_is_no_pose_is_told(seconds, at, reason):
    assert reason_of(track_of(seconds).at, ns(at)) == reason


@pytest.mark.parametrize(
    ("change", "jumps"),
    [((0, 0, 0), False), ((0, 1.0, 0), False), ((0, 20.0, 0), True), ((0, 0, 45.0), True)],
)
def test_a_jump_is_what_no_vehicle_does_between_two_poses(change, jumps):
    def pose(t):
        moved = truth_at(t).copy()
        if t > 0.5:
            moved[:2, 3] += change[:2]
            moved[:3, :3] = moved[:3, :3] @ matrix_of(np.zeros(3), turn(change[2]))[:3, :3]
        return moved

    track = track_of(np.arange(0, 1, 0.1), pose)
    assert track.jumped_between(ns(0.3), ns(0.8)) is jumps
    assert not track.jumped_between(ns(0.7), ns(0.8))
    if jumps:
        assert reason_of(track.at, ns(0.55)) == "gap"


def turn(degrees):
    half = np.deg2rad(degrees) / 2
    return np.array((0, 0, np.sin(half), np.cos(half)))


def test_limits_that_are_none_are_refused():
    with pytest.raises(UserError, match="max_speed is 0: expected more than 0"):
        PoseLimits(max_speed=0.0)
    with pytest.raises(UserError, match="max_turn_rate is nan"):
        PoseLimits(max_turn_rate=float("nan"))


def test_memory_of_a_track_is_bounded():
    sample = np.zeros(3), turn(0)
    slow, fast = PoseTrack("slow", LIMITS), PoseTrack("fast", LIMITS)
    for number in range(2 * MOST_POSES):
        slow.add(number * 10**8, sample)
        fast.add(number, sample)
    assert len(slow) < 2 * KEPT_NS / 10**8
    assert len(fast) <= MOST_POSES
    fast.at(2 * MOST_POSES - 1)


def test_stamps_that_go_far_back_begin_anew_and_are_said():
    source = OdometryPoses("/odom", LIMITS)
    for t in (100.0, 100.1, 50.0, 50.1):
        source.add(odometry(ns(t), truth_at(t)))
    assert reason_of(source.pose, ns(100.0), "velodyne") == "stopped"
    np.testing.assert_allclose(source.pose(ns(50.0), "velodyne"), truth_at(50.0), atol=1e-9)
    assert source.remarks == ["stamps went back by more than 10 s, poses before that are forgotten: odometry of /odom"]


@pytest.mark.parametrize(
    ("position", "rotation", "words"),
    [
        ((0, 0, 0), (0, 0, 0, 0), "quaternion has length 0, expected 1"),
        ((0, 0, 0), (0, 0, 0, 2), "quaternion has length 2, expected 1"),
        ((np.nan, 0, 0), (0, 0, 0, 1), "not finite"),
        ((0, np.inf, 0), (0, 0, 0, 1), "not finite"),
        ((0, 0, 0), (0, 0, np.nan, 1), "not finite"),
    ],
)
def test_what_is_no_pose_is_refused(position, rotation, words):
    xyz = SimpleNamespace(**dict(zip("xyz", position, strict=True)))
    with pytest.raises(BadPoseError, match=words):
        checked(xyz, SimpleNamespace(**dict(zip("xyzw", rotation, strict=True))))


def test_refused_odometry_is_counted_and_said_once():
    source = OdometryPoses("/odom", LIMITS)
    for t in (0.0, 0.1):
        source.add(odometry(ns(t), truth_at(t), quaternion=(0, 0, 0, 0)))
    assert source.counters["poses_refused"] == 2
    assert source.remarks == ["poses on /odom are refused: its quaternion has length 0, expected 1"]
    assert reason_of(source.pose, ns(0.05), "velodyne") == "never"


def test_odometry_of_the_vehicle_needs_the_place_of_the_sensor_on_it():
    source = OdometryPoses("/odom", LIMITS)
    for t in (0.0, 0.1):
        source.add(odometry(ns(t), truth_at(t), child="base_link"))
    with pytest.raises(NoPoseError, match="/tf_static does not tell where velodyne sits on base_link"):
        source.pose(ns(0.05), "velodyne")
    source.frames.add(transforms((0, MOUNTED, "base_link", "velodyne")), is_static=True)
    np.testing.assert_allclose(source.pose(ns(0.0), "velodyne"), truth_at(0.0) @ MOUNTED, atol=1e-12)


def test_odometry_that_names_no_child_is_taken_for_the_clouds_own_and_said():
    source = OdometryPoses("/odom", LIMITS)
    source.add(odometry(ns(0), truth_at(0), child=""))
    np.testing.assert_allclose(source.pose(ns(0), "velodyne"), truth_at(0), atol=1e-12)
    assert "does not say what it is the pose of (child_frame_id): taken for that of velodyne" in source.remarks[0]


def test_odometry_that_changes_its_frames_begins_anew():
    source = OdometryPoses("/odom", LIMITS)
    source.add(odometry(ns(0), truth_at(0)))
    source.add(odometry(ns(0.1), truth_at(0.1), frame="map"))
    assert source.jumped_between(ns(0), ns(0.1), "velodyne")
    assert "changed from velodyne in odom to velodyne in map" in source.remarks[0]


def tree(*rows, fixed="map"):
    """`rows`: (seconds, None for a fixed one; pose; parent; child)."""
    frames = FrameTree(fixed, LIMITS)
    for t, pose, parent, child in rows:
        frames.add(transforms((0 if t is None else ns(t), pose, parent, child)), is_static=t is None)
    return frames


def test_a_chain_of_fixed_and_moving_transforms_leads_to_the_sensor():
    frames = tree(
        (None, MOUNTED, "/base_link", "/velodyne"),
        *((t, truth_at(t), "odom", "base_link") for t in np.arange(0, 1, 0.05)),
        (None, pose_at(3), "map", "odom"),
    )
    found = frames.pose(ns(0.333), "velodyne")
    np.testing.assert_allclose(found, pose_at(3) @ truth_at(0.333) @ MOUNTED, atol=2e-5)
    assert reason_of(frames.pose, ns(1.2), "velodyne") == "late"
    assert not frames.jumped_between(ns(0.1), ns(0.5), "velodyne")


def test_a_fixed_frame_on_another_branch_is_reached_by_the_common_frame():
    rows = [(t, truth_at(t), "odom", "base_link") for t in (0.0, 0.1)]
    frames = tree(*rows, (None, MOUNTED, "odom", "beacon"), fixed="beacon")
    np.testing.assert_allclose(frames.pose(ns(0.1), "base_link"), np.linalg.inv(MOUNTED) @ truth_at(0.1), atol=1e-12)


@pytest.mark.parametrize(
    ("rows", "frame", "words"),
    [
        ([], "velodyne", "known are nothing of velodyne and nothing of map"),
        ([(0, MOUNTED, "odom", "velodyne")], "velodyne", "known are velodyne below odom and nothing of map"),
        ([(0, MOUNTED, "a", "b"), (0, MOUNTED, "b", "a")], "a", "no transforms lead from map to a"),
        ([], "map", "the clouds' own frame is map: name one that stands still"),
    ],
)
def test_frames_that_do_not_hang_together_are_told(rows, frame, words):
    with pytest.raises(NoPoseError, match=words):
        tree(*rows).pose(ns(0), frame)


def test_broken_transforms_are_left_out_and_said_once():
    broken = pose_at(1)
    broken[0, 3] = np.nan
    frames = tree((0, broken, "map", "velodyne"), (0.1, broken, "map", "velodyne"), (0, MOUNTED, "x", "x"))
    assert frames.counters["poses_refused"] == 3
    assert len(frames.remarks) == 2
    assert "from 'map' to 'velodyne' are refused: its values are not finite" in frames.remarks[0]


def test_a_frame_with_a_new_parent_forgets_its_old_poses_and_says_so():
    frames = tree((0, truth_at(0), "map", "velodyne"), (0.1, truth_at(0.1), "map", "velodyne"))
    frames.add(transforms((ns(0.2), truth_at(0.2), "odom", "velodyne")))
    assert "was below 'map' and is now below 'odom'" in frames.remarks[0]
    assert reason_of(frames.pose, ns(0.05), "velodyne") == "never"


def test_only_fixed_transforms_tell_where_the_sensor_sits():
    frames = tree((None, MOUNTED, "base_link", "mast"), (0, MOUNTED, "mast", "velodyne"))
    np.testing.assert_allclose(frames.fixed_transform("base_link", "mast"), MOUNTED, atol=1e-12)
    np.testing.assert_allclose(frames.fixed_transform("mast", "base_link"), np.linalg.inv(MOUNTED), atol=1e-12)
    assert frames.fixed_transform("base_link", "velodyne") is None
    assert frames.fixed_transform("base_link", "camera") is None


def test_the_number_of_frames_is_bounded():
    frames = tree(*((0, MOUNTED, "map", f"joint{number}") for number in range(1005)))
    assert frames.counters["poses_refused"] == 5
    assert len(frames.remarks) == 5
