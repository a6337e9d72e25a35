"""PointCloud2 messages for the tests, built from plain field descriptions; rclpy's or rosbags' classes alike."""

from __future__ import annotations

import random
import re
import struct
from array import array

import numpy as np
from rosbags.typesys import Stores, get_typestore

STORE = get_typestore(Stores.ROS2_JAZZY)
SIZES = {1: 1, 2: 1, 3: 2, 4: 2, 5: 4, 6: 4, 7: 4, 8: 8}
LETTERS = {1: "b", 2: "B", 3: "h", 4: "H", 5: "i", 6: "I", 7: "f", 8: "d"}
FLOAT32 = 7
HUGE = 2**32 - 1
XYZI = (("x", 0, FLOAT32, 1), ("y", 4, FLOAT32, 1), ("z", 8, FLOAT32, 1), ("intensity", 12, FLOAT32, 1))


def rosbags_cloud(*, fields=XYZI, data=b"", stamp_ns=0, frame_id="velodyne", **sizes):
    """fields: (name, offset, datatype, count) tuples; sizes: height, width, point_step, row_step and the two flags."""
    types = STORE.types
    stamp = types["builtin_interfaces/msg/Time"](sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)
    return types["sensor_msgs/msg/PointCloud2"](
        header=types["std_msgs/msg/Header"](stamp=stamp, frame_id=frame_id),
        fields=[types["sensor_msgs/msg/PointField"](*field) for field in fields],
        data=np.frombuffer(bytes(data), np.uint8),
        **_sizes(data, sizes),
    )


def rclpy_cloud(*, fields=XYZI, data=b"", stamp_ns=0, frame_id="velodyne", **sizes):
    """As rosbags_cloud, with the message classes of rclpy."""
    from builtin_interfaces.msg import Time
    from sensor_msgs.msg import PointCloud2, PointField
    from std_msgs.msg import Header

    return PointCloud2(
        header=Header(stamp=Time(sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9), frame_id=frame_id),
        fields=[PointField(name=n, offset=o, datatype=d, count=c) for n, o, d, c in fields],
        data=array("B", bytes(data)),
        **_sizes(data, sizes),
    )


def xyzi_cloud(points: np.ndarray, stamp_ns: int = 0, frame_id: str = "velodyne", build=rosbags_cloud, height: int = 1):
    """A cloud of (N, 4) float32 points, 16 bytes each, in `height` rows."""
    width = len(points) // height
    data = np.ascontiguousarray(points, "<f4").tobytes()
    return build(
        data=data, stamp_ns=stamp_ns, frame_id=frame_id, height=height, width=width, point_step=16, row_step=16 * width
    )


def slow_column(message, name: str) -> list[float]:
    """The values of one field, read value by value with struct: the oracle of the fast decoder."""
    field = next(field for field in message.fields if field.name == name)
    code = (">" if message.is_bigendian else "<") + LETTERS[field.datatype]
    data = bytes(message.data)
    return [
        struct.unpack_from(code, data, row * message.row_step + column * message.point_step + field.offset)[0]
        for row in range(message.height)
        for column in range(message.width)
    ]


def _sizes(data, sizes: dict) -> dict:
    step = sizes.get("point_step", 16)
    width = sizes.get("width", len(data) // step if step else 0)
    defaults = {"height": 1, "width": width, "point_step": step, "row_step": step * width}
    return defaults | {"is_bigendian": False, "is_dense": True} | sizes


def damaged_cloud(generator: random.Random):
    """A sound cloud with up to four of its numbers, names or bytes replaced."""
    sizes = [0, 1, 2, 3, 15, 16, 17, 32, 48, 2**16, 2**31 - 1, 2**31, HUGE]
    message = {
        "height": generator.choice([1, 1, 2]),
        "width": 2,
        "point_step": 16,
        "row_step": 32,
        "is_bigendian": False,
    }
    message["data"] = generator.randbytes(message["height"] * 32)
    fields = [list(field) for field in XYZI]
    for _ in range(generator.randint(0, 4)):
        target = generator.randrange(8)
        if target < 4:
            message[("height", "width", "point_step", "row_step")[target]] = generator.choice(sizes)
        elif target == 4:
            message["data"] = generator.randbytes(generator.choice([0, 1, 16, 31, 32, 33, 64]))
        elif target == 5:
            generator.shuffle(fields)
            fields = fields[: generator.randint(0, 4)] + fields[: generator.randint(0, 2)]
        elif target == 6:
            message["is_bigendian"] = True
        elif fields:
            field = list(generator.choice(fields))
            column = generator.randrange(4)
            values = (
                ["x", "y", "", "intensity"],
                [0, 1, 4, 8, 12, 15, HUGE],
                [0, 2, 5, 7, 8, 9, 255],
                [0, 1, 2, 4, HUGE],
            )
            field[column] = generator.choice(values[column])
            fields[generator.randrange(len(fields))] = field
    return rosbags_cloud(fields=fields, **message)


def factor_said(sentence):
    """The factor in a sentence that says how intensity is scaled from here on."""
    return float(re.search(r"multiplied by ([0-9.e-]+),", sentence)[1])
