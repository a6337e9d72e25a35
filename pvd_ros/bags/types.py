"""PointCloud2 messages of rosbags, which needs no ROS: from bytes, to bytes, and from points."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from rosbags.typesys import Stores, get_typestore
from rosbags.typesys.store import Typestore

from pvd_ros.codec import CLOUD_TYPE, CloudTypes, MalformedCloudError


@cache
def typestore() -> Typestore:
    """The message definitions of Humble; PointCloud2 and Header are the same in later releases."""
    return get_typestore(Stores.ROS2_HUMBLE)


def rosbags_cloud_types() -> CloudTypes:
    """The message classes of rosbags."""
    types = typestore().types
    return CloudTypes(types[CLOUD_TYPE], types["sensor_msgs/msg/PointField"], _zeroed_bytes)


def cloud_from_bytes(raw: bytes | memoryview) -> Any:
    """The PointCloud2 that `raw` holds as CDR; MalformedCloudError if it holds none."""
    try:
        return typestore().deserialize_cdr(raw, CLOUD_TYPE)
    except Exception as error:  # bytes of anything else make the reader of rosbags raise many kinds of errors
        raise MalformedCloudError("unreadable_message", f"{len(raw)} bytes are no PointCloud2: {error}") from error


def cloud_to_bytes(message: Any) -> memoryview:
    """`message`, a PointCloud2 of rosbags, as CDR."""
    return typestore().serialize_cdr(message, CLOUD_TYPE)


def cloud_from_points(points: np.ndarray, stamp_ns: int, frame_id: str) -> Any:
    """A PointCloud2 with x, y, z, intensity as float32, 16 bytes a point. `points`: (N, 4), written as they are."""
    types = typestore().types
    stamp = types["builtin_interfaces/msg/Time"](sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)
    field = types["sensor_msgs/msg/PointField"]
    return types[CLOUD_TYPE](
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
