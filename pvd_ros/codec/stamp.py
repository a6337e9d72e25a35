"""The time stamp of a message."""

from __future__ import annotations

from typing import Any


def stamp_of(message: Any) -> int:
    """The stamp in the header of `message`, of rclpy or rosbags, in nanoseconds."""
    return message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
