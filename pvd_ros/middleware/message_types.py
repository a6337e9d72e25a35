"""Message classes of rclpy by the names that bags give their types."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from pvd_core.borders.errors import UserError


def message_class(name: str) -> Any:
    """The class of a type such as nav_msgs/msg/Odometry; UserError where its package is not installed."""
    package, _, short = name.partition("/msg/")
    try:
        return getattr(importlib.import_module(f"{package}.msg"), short)
    except (ImportError, AttributeError) as error:
        raise UserError(
            f"{name} is not installed for this Python ({error}): source your ROS 2 and install "
            f"ros-$ROS_DISTRO-{package.replace('_', '-')}"
        ) from error


def shift_stamps(message: Any, new_stamp_ns: Callable[[int], int]) -> None:
    """Gives a message with a header, or the transforms of a TFMessage, other stamps: `new_stamp_ns(old stamp in ns)`. A
    message without stamps stays as it is."""
    stamped = getattr(message, "transforms", [message])
    for each in stamped:
        if hasattr(each, "header"):
            stamp = each.header.stamp
            stamp.sec, stamp.nanosec = divmod(new_stamp_ns(stamp.sec * 10**9 + stamp.nanosec), 10**9)
