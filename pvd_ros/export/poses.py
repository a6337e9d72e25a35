"""Where the sensor was at each labelled cloud of a bag: by its odometry or TF, from a file, by registering the clouds,
or not known.

Every source is a function that returns the sensor's pose at each labelled cloud, float64 (N, 4, 4), in metres, in a
frame that stands still; NaN where it is not known. It is chosen in `sensor_poses_of`.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from pvd_core.borders.errors import UserError
from pvd_core.borders.wording import counted
from pvd_core.clouds.mounting import NETWORK_HEIGHT_M, Mounting
from pvd_core.clouds.poses import lidar_poses, sensor_poses
from pvd_ros.bags.pose_options import PoseOptions
from pvd_ros.bags.poses import poses_of
from pvd_ros.export.source import LabelledBag
from pvd_ros.poses import NoPoseError
from pvd_ros.poses.registration import Registration

KISS_ICP = "kiss-icp"
APART_M = 200.0
"""Scans whose poses are not known are put so far apart that tools show each by itself, and nobody fuses them."""


def sensor_poses_of(bag: LabelledBag, choice: PoseOptions) -> np.ndarray | None:
    """The poses by `choice`, whose `file` may be KISS_ICP; None where it names no source. UserError where not one pose
    is known."""
    if choice.odometry or choice.fixed_frame:
        return _by_messages(bag, choice)
    if not choice.file:
        return None
    return _registered(bag) if choice.file == KISS_ICP else _of_file(bag, Path(choice.file))


def is_known(poses: np.ndarray) -> np.ndarray:
    """bool (N,): which of these poses are known."""
    return np.isfinite(poses).all(axis=(1, 2))


def in_network_frame(poses: np.ndarray, mounting: Mounting) -> np.ndarray:
    """Poses of the sensor as those of the frame that networks know, relative to the first one: the tool that people
    label with expects a drive that begins at the origin."""
    moved = np.eye(4)
    moved[:3, :3], moved[2, 3] = mounting.rotation(), mounting.height - NETWORK_HEIGHT_M
    poses = poses @ np.linalg.inv(moved)
    return np.linalg.inv(poses[0]) @ poses


def apart(num_scans: int) -> np.ndarray:
    """Made-up poses float64 (N, 4, 4) of scans that have none: in a square, APART_M from one another."""
    side = math.ceil(math.sqrt(num_scans))
    poses = np.tile(np.eye(4), (num_scans, 1, 1))
    poses[:, :2, 3] = APART_M * np.array([divmod(number, side) for number in range(num_scans)])
    return poses


def _by_messages(bag: LabelledBag, choice: PoseOptions) -> np.ndarray:
    """By the odometry or TF in the bag."""
    source = poses_of(bag.bag, bag.topic, choice)
    assert source is not None, "the choice names a source"
    poses, reasons = [], []
    for scan in bag.scans():
        source.go_to(scan.number + 1, scan.log_time_ns)
        try:
            poses.append(source.pose(scan.stamp_ns, scan.frame))
        except NoPoseError as error:
            poses.append(np.full((4, 4), np.nan))
            reasons.append(str(error))
    if len(reasons) == len(poses):
        raise UserError(f"not one of the labelled clouds of {bag.bag.path} has a pose: {reasons[0]}")
    bag.remarks += source.remarks
    if reasons:
        bag.remarks.append(f"{counted(len(reasons), 'cloud')} without a pose, left out, the first one: {reasons[0]}")
    return np.array(poses)


def _of_file(bag: LabelledBag, path: Path) -> np.ndarray:
    calibration = path.with_name("calib.txt")
    if calibration.exists():
        poses = sensor_poses(path, calibration)
        bag.remarks.append(f"poses of {path} are those of the camera, which Tr of {calibration} takes to the sensor")
    else:
        poses = lidar_poses(path)
        bag.remarks.append(f"poses of {path} are taken for those of the sensor itself: no calib.txt is beside it")
    if len(poses) == bag.num_scans:
        return poses
    numbers = bag.source_numbers
    if numbers is not None and len(poses) == bag.num_sources and numbers[-1] < len(poses):
        return poses[numbers]
    sources = f" of {bag.num_sources} clouds" if bag.num_sources else ""
    raise UserError(
        f"{path} has {counted(len(poses), 'pose')}, {bag.bag.path} has {counted(bag.num_scans, 'labelled cloud')}"
        f"{sources}: expected a line for each; is it of this bag?"
    )


def _registered(bag: LabelledBag) -> np.ndarray:
    """By KISS-ICP, which takes each cloud to the map of those before."""
    try:
        registration = Registration()
    except UserError as error:
        raise UserError(f"--poses kiss-icp: {error}, or give --poses FILE with a pose a line") from None
    poses = []
    for scan in bag.scans():
        measured = scan.points[scan.labels != 0, :3]
        if not len(measured):
            raise UserError(f"cloud {scan.number + 1} of {bag.bag.path} has no points to register: give --poses FILE")
        poses.append(registration.pose_of(measured))
    bag.remarks.append("poses are KISS-ICP's by the clouds alone, without correction of the sensor's motion")
    return np.array(poses)
