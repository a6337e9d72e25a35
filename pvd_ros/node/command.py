"""The command that starts the node: `segmenter_node --ros-args -p points_in:=/lidar`."""

from __future__ import annotations

import argparse
import gc
import os
import sys
import traceback
from threading import Event
from typing import Any

from pvd_core.borders.errors import UserError
from pvd_ros.middleware.packages import NODE_NEEDS, require_packages
from pvd_ros.middleware.params_file import check_params_files
from pvd_ros.middleware.ros_session import require_rclpy, ros_context, stop_on_signals

# The other modules of the node import numpy or ROS, for seconds in which no signal would be handled yet.

_ENDING = "segmenter_node: ending, after what is in work: loading the network, or a cloud"


def main(arguments: list[str] | None = None) -> int:
    """Runs until SIGINT or SIGTERM, then ends the process with exit code 0. Returns exit code 2 for a mistake in
    parameters, weights or arguments, and 1 for a fault of the node itself."""
    arguments = sys.argv[1:] if arguments is None else arguments
    with stop_on_signals(_ENDING) as stop:
        try:
            code = _started(arguments, stop)
        except UserError as error:
            print(f"segmenter_node: {error}", file=sys.stderr)
            code = 2
    # A lifecycle node's objects hold one another, and with them the middleware's shared memory: 64 MB that would stay
    # behind in /dev/shm.
    gc.collect()
    if code == 0:
        # All is reported and ROS is shut down. Python would take seconds to unload torch, in which whoever asked the
        # node to end may lose patience and kill it.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)
    return code


def _started(arguments: list[str], stop: Event) -> int:
    require_packages(*NODE_NEEDS)
    rclpy, _ = require_rclpy()
    check_params_files(arguments)
    _parser().parse_args(_plain_arguments(rclpy, arguments))
    with ros_context(["segmenter_node", *arguments]) as context:
        return _run(rclpy, context, stop)


def _plain_arguments(rclpy: Any, arguments: list[str]) -> list[str]:
    """The arguments that are not for ROS. UserError if ROS cannot read its own."""
    try:
        return rclpy.utilities.remove_ros_args(["segmenter_node", *arguments])[1:]
    except RuntimeError as error:
        raise UserError(f"ROS arguments: {error}") from error


def _run(rclpy: Any, context: Any, stop: Event) -> int:
    from pvd_ros.node.segmenter_node import SegmenterNode

    node = SegmenterNode(context, stop.is_set)
    try:
        return _labelled_until(stop, node, rclpy.executors.SingleThreadedExecutor(context=context))
    finally:
        node.destroy_node()


def _labelled_until(stop: Event, node: Any, executor: Any) -> int:
    """The exit code, once `stop` is set or an exception has come out of a callback; counts are reported either way.
    UserError for what prevents the start."""
    from pvd_ros.node.segmenter_node import EndingError

    code = 0
    executor.add_node(node)
    try:
        if node.get_parameter("autostart").value:
            node.start()
        # Short waits, because Python handles signals only between them.
        while not stop.is_set():
            executor.spin_once(timeout_sec=0.1)
    except EndingError:
        pass
    except UserError:
        raise
    except Exception as error:  # whatever it is, the clouds so far are accounted for
        node.get_logger().error(traceback.format_exc())
        print(f"segmenter_node: ends by an internal error, {type(error).__name__}: {error}", file=sys.stderr)
        code = 1
    node.finish()
    executor.shutdown()
    return code


def _parser() -> argparse.ArgumentParser:
    from pvd_ros.node.parameters import SPECS

    rows = [f"  {spec.name:<20}{spec.default!r:<19} {spec.description}" for spec in SPECS]
    return argparse.ArgumentParser(
        prog="segmenter_node",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="segmenter_node [--ros-args -p NAME:=VALUE ... --params-file FILE -r OLD:=NEW]",
        description="Label the points of a PointCloud2 topic with semantic classes.",
        epilog="parameters (name, default, meaning):\n" + "\n".join(rows),
    )
