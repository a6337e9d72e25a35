"""The cloud that measurements with ROS send: 16 bytes a point, as a spinning sensor sees a street. Needs rclpy."""

from __future__ import annotations

import time
from array import array
from typing import Any

from pvd_core.clouds.example import spinning_scan


def sensor_cloud(num_points: int) -> Any:
    """A PointCloud2 of x, y, z in metres and intensity 0..1, each float32."""
    from sensor_msgs.msg import PointCloud2, PointField

    names = ("x", "y", "z", "intensity")
    cloud = PointCloud2(height=1, width=num_points, point_step=16, row_step=16 * num_points, is_dense=True)
    cloud.fields = [PointField(name=name, offset=4 * i, datatype=7, count=1) for i, name in enumerate(names)]
    cloud.data = array("B", spinning_scan(num_points).astype("<f4").tobytes())
    cloud.header.frame_id = "velodyne"
    return cloud


def stamp_now(cloud: Any) -> int:
    """Gives a cloud the present time as its stamp; returns it in nanoseconds."""
    stamp_ns = time.time_ns()
    cloud.header.stamp.sec, cloud.header.stamp.nanosec = divmod(stamp_ns, 10**9)
    return stamp_ns
