"""The ROS 2 message classes that bags are read and written with: rosbags' own, no ROS needed."""

from __future__ import annotations

from functools import cache

import numpy as np
from rosbags.typesys import Stores, get_typestore

from pvd_ros.codec import CloudTypes

CLOUD = "sensor_msgs/msg/PointCloud2"


@cache
def typestore():
    """Message definitions of Humble: PointCloud2 and Header have not changed since."""
    return get_typestore(Stores.ROS2_HUMBLE)


def rosbags_cloud_types() -> CloudTypes:
    types = typestore().types
    return CloudTypes(types[CLOUD], types["sensor_msgs/msg/PointField"], _zeroed_bytes)


def _zeroed_bytes(num_bytes: int) -> np.ndarray:
    return np.zeros(num_bytes, np.uint8)
