"""Odometry as messages of a bag."""

from __future__ import annotations

import numpy as np

from pvd_ros.bags.channel import Channel
from pvd_ros.bags.types import typestore
from pvd_ros.bags.writer import BagWriter
from pvd_ros.poses.rigid import quaternion_of

TYPE = "nav_msgs/msg/Odometry"


def write_odometry(
    bag: BagWriter, topic: str, pose: np.ndarray, stamp_ns: int, frame: str, child_frame: str, log_time_ns: int
) -> None:
    """Writes the `pose`, (4, 4), of `child_frame` in `frame` as a nav_msgs/Odometry without speeds."""
    types = typestore().types
    point, turn = pose[:3, 3].tolist(), quaternion_of(pose[:3, :3]).tolist()
    at = types["geometry_msgs/msg/Pose"](
        types["geometry_msgs/msg/Point"](*point), types["geometry_msgs/msg/Quaternion"](*turn)
    )
    still = types["geometry_msgs/msg/Vector3"](0.0, 0.0, 0.0)
    stamp = types["builtin_interfaces/msg/Time"](stamp_ns // 10**9, stamp_ns % 10**9)
    message = types[TYPE](
        types["std_msgs/msg/Header"](stamp, frame),
        child_frame,
        types["geometry_msgs/msg/PoseWithCovariance"](at, np.zeros(36)),
        types["geometry_msgs/msg/TwistWithCovariance"](types["geometry_msgs/msg/Twist"](still, still), np.zeros(36)),
    )
    bag.write(Channel(topic, TYPE), typestore().serialize_cdr(message, TYPE), log_time_ns)
