"""Where the sensor was at the stamp of a cloud, by odometry or TF, and the history of clouds that needs it. No ROS."""

from pvd_ros.poses.frames import FrameTree
from pvd_ros.poses.history import CloudHistory, summary
from pvd_ros.poses.odometry import OdometryPoses
from pvd_ros.poses.source import NoPoseError, PoseLimits, PoseSource
from pvd_ros.poses.waiting import WaitingPoses

__all__ = [
    "CloudHistory",
    "FrameTree",
    "NoPoseError",
    "OdometryPoses",
    "PoseLimits",
    "PoseSource",
    "WaitingPoses",
    "summary",
]
