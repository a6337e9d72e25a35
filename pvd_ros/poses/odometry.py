"""Poses from nav_msgs/Odometry: of a vehicle or of the sensor itself, in a frame that stands still."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from pvd_ros.codec import stamp_of
from pvd_ros.poses.frames import FrameTree, plain
from pvd_ros.poses.rigid import checked
from pvd_ros.poses.source import FRAME, BadPoseError, NoPoseError, PoseLimits, say_once
from pvd_ros.poses.track import RESTARTED, PoseTrack, restart_of


class OdometryPoses:
    """A source of poses. `topic`: for messages. `frames` tells where the sensor sits on what the odometry is of. It
    takes messages of rclpy and of rosbags."""

    def __init__(self, topic: str, limits: PoseLimits) -> None:
        self.frames = FrameTree("", limits)
        self.counters: Counter[str] = Counter(poses_refused=0, poses_out_of_order=0)
        self.remarks: list[str] = []
        self._topic = topic
        self._track = PoseTrack(f"odometry of {topic}", limits)
        self._names: tuple[str, str] | None = None

    def add(self, message: Any) -> None:
        """Takes an Odometry. One that holds no pose is left out, counted, and said once."""
        names = plain(message.header.frame_id), plain(message.child_frame_id)
        try:
            sample = checked(message.pose.pose.position, message.pose.pose.orientation)
        except BadPoseError as error:
            self.counters["poses_refused"] += 1
            say_once(self.remarks, f"poses on {self._topic} are refused: {error}")
            return
        if self._names not in (None, names):
            say_once(
                self.remarks,
                f"{self._topic} changed from {_of(self._names)} to {_of(names)}: poses before that are forgotten; "
                "expected one publisher on a topic",
            )
            self._track.clear()
        self._names = names
        if found := self._track.add(stamp_of(message), sample):
            self.counters["poses_out_of_order"] += 1
        if found == RESTARTED:
            say_once(self.remarks, restart_of(self._track))

    def pose(self, stamp_ns: int, frame: str) -> np.ndarray:
        """As PoseSource has it."""
        pose = self._track.at(stamp_ns)
        assert self._names is not None, "a pose came with names"
        child, frame = self._names[1], plain(frame)
        if child == frame:
            return pose
        if not child:
            say_once(
                self.remarks,
                f"{self._topic} does not say what it is the pose of (child_frame_id): taken for that of {frame}",
            )
            return pose
        mounted = self.frames.fixed_transform(child, frame)
        if mounted is None:
            raise NoPoseError(
                FRAME,
                f"{self._topic} has poses of {child}, the clouds are in {frame}, and /tf_static does not tell where "
                f"{frame} sits on {child}: publish that (static_transform_publisher), or take odometry of {frame}",
            )
        return pose @ mounted

    def jumped_between(self, start_ns: int, end_ns: int, _frame: str) -> bool:
        """As PoseSource has it."""
        return self._track.jumped_between(start_ns, end_ns)


def _of(names: tuple[str, str] | None) -> str:
    fixed, child = names or ("", "")
    return f"{child or '?'} in {fixed or '?'}"
