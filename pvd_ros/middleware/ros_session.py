"""rclpy in one process: imported late with a clear error, started, and shut down in order on Ctrl-C or SIGTERM."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Event
from types import FrameType, ModuleType
from typing import Any

from pvd_core.borders.errors import UserError
from pvd_ros.middleware.stale_segments import remove_stale_segments
from pvd_ros.middleware.transport import use_shipped_settings

# Where its input is no terminal, as in a container or a service, `ros2 launch` passes Ctrl-C on to processes that have
# got it from their process group already; it may be busy.
_COPIES_WITHIN_S = 2.0


def require_rclpy() -> tuple[Any, ModuleType]:
    """The modules rclpy and sensor_msgs.msg; where they are missing, a UserError that says how to get them."""
    try:
        import rclpy
        import sensor_msgs.msg
    except ImportError as error:
        raise UserError(
            f"no ROS 2 for this Python ({error}); source your ROS 2 (source /opt/ros/jazzy/setup.bash), "
            "or install the wheels: pip install 'pvd_ros[ros]'"
        ) from error
    return rclpy, sensor_msgs.msg


@contextmanager
def ros_context(arguments: list[str] | None = None) -> Iterator[Any]:
    """A new rclpy context, independent of others in the process, and shut down at the end of the block.

    arguments: for ROS, such as ["--ros-args", "-r", "old:=new"]. Fast DDS and Cyclone DDS get the shipped settings
    unless the user chose some. UserError where rclpy is missing.
    """
    remove_stale_segments()
    use_shipped_settings()  # which depend on how much shared memory is free
    rclpy, _ = require_rclpy()
    context = rclpy.context.Context()
    # rclpy's own handlers would invalidate the context while a cloud is being published.
    rclpy.init(args=arguments or [], context=context, signal_handler_options=rclpy.signals.SignalHandlerOptions.NO)
    try:
        yield context
    finally:
        context.try_shutdown()


def qos_profile(reliable: bool, depth: int, latched: bool = False) -> Any:
    """A QoSProfile that keeps the last `depth` messages; reliable or best effort.

    latched: subscribers that come later get these messages too (transient local).
    """
    from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy

    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=depth,
        reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
    )


def check_topic_name(what: str, name: str) -> None:
    """UserError if `name` is no valid topic name; `what` says in the message where it comes from."""
    require_rclpy()
    from rclpy.exceptions import InvalidTopicNameException
    from rclpy.validate_topic_name import validate_topic_name

    try:
        validate_topic_name(name)
    except InvalidTopicNameException as error:
        raise UserError(f"{what} is no topic name: {' '.join(str(error).split())}") from error


@contextmanager
def stop_on_signals(line: str = "") -> Iterator[Event]:
    """An event that SIGINT or SIGTERM sets, with `line` on stderr. Either signal once more ends the process as usual if
    it comes later than a copy of the first would. For the main thread only, and for programs that end after the block
    if the event is set: from there on, both signals are ignored."""
    stop = Event()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    first_s: float | None = None

    def on_signal(number: int, frame: FrameType | None) -> None:
        nonlocal first_s
        now_s = time.monotonic()
        if first_s is None:
            first_s = now_s
            stop.set()
            if line:
                with suppress(OSError):
                    os.write(2, f"{line}\n".encode())  # print may be what the signal interrupts
        elif now_s - first_s > _COPIES_WITHIN_S:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    for number in before:
        signal.signal(number, on_signal)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if first_s is None else signal.SIG_IGN)
