"""The ROS 2 message classes that bags are read and written with: rosbags' own, no ROS needed."""

from __future__ import annotations

from functools import cache

import numpy as np
from rosbags.typesys import Stores, get_typestore

from pvd_ros.codec import CloudTypes, MalformedCloudError

CLOUD = "sensor_msgs/msg/PointCloud2"


@cache
def typestore():
    """Message definitions of Humble: PointCloud2 and Header have not changed since."""
    return get_typestore(Stores.ROS2_HUMBLE)


def rosbags_cloud_types() -> CloudTypes:
    types = typestore().types
    return CloudTypes(types[CLOUD], types["sensor_msgs/msg/PointField"], _zeroed_bytes)


def cloud_from_bytes(raw: bytes):
    """The PointCloud2 in `raw`, serialised as CDR; MalformedCloudError if there is none."""
    try:
        return typestore().deserialize_cdr(raw, CLOUD)
    except Exception as error:  # rosbags raises whatever its generated reader stumbles over in foreign bytes
        raise MalformedCloudError("unreadable_message", f"{len(raw)} bytes are no PointCloud2: {error}") from error


def cloud_to_bytes(message) -> memoryview:
    """`message` (a rosbags PointCloud2) serialised as CDR."""
    return typestore().serialize_cdr(message, CLOUD)


def stamp_of(message) -> int:
    """The header stamp in nanoseconds."""
    return message.header.stamp.sec * 10**9 + message.header.stamp.nanosec


def cloud_from_points(points: np.ndarray, stamp_ns: int, frame_id: str):
    """A PointCloud2 with x, y, z, intensity as float32, 16 bytes a point, from points (N, 4)."""
    types = typestore().types
    stamp = types["builtin_interfaces/msg/Time"](sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)
    field = types["sensor_msgs/msg/PointField"]
    return types[CLOUD](
        header=types["std_msgs/msg/Header"](stamp=stamp, frame_id=frame_id),
        height=1,
        width=len(points),
        fields=[field(name, 4 * column, 7, 1) for column, name in enumerate(("x", "y", "z", "intensity"))],
        is_bigendian=False,
        point_step=16,
        row_step=16 * len(points),
        data=np.ascontiguousarray(points, "<f4").reshape(-1).view(np.uint8),
        is_dense=bool(np.isfinite(points[:, :3]).all()),
    )


def _zeroed_bytes(num_bytes: int) -> np.ndarray:
    return np.zeros(num_bytes, np.uint8)
