"""The command that starts the node: `segmenter_node --ros-args -p points_in:=/lidar`."""

from __future__ import annotations

import argparse
import gc
import os
import sys
from typing import Any

from pvd_core.borders.errors import UserError
from pvd_ros.middleware.packages import NODE_NEEDS, require_packages
from pvd_ros.middleware.params_file import check_params_files
from pvd_ros.middleware.ros_session import require_rclpy, ros_context, stop_on_signals
from pvd_ros.node.parameters import SPECS


def main(arguments: list[str] | None = None) -> int:
    """Runs until SIGINT or SIGTERM, then ends the process with exit code 0. Returns exit code 2 for a mistake in
    parameters, weights or arguments."""
    arguments = sys.argv[1:] if arguments is None else arguments
    code = 0
    try:
        require_packages(*NODE_NEEDS)
        rclpy, _ = require_rclpy()
        check_params_files(arguments)
        _parser().parse_args(_plain_arguments(rclpy, arguments))
        _run(rclpy, arguments)
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


def _plain_arguments(rclpy: Any, arguments: list[str]) -> list[str]:
    """The arguments that are not for ROS. UserError if ROS cannot read its own."""
    try:
        return rclpy.utilities.remove_ros_args(["segmenter_node", *arguments])[1:]
    except RuntimeError as error:
        raise UserError(f"ROS arguments: {error}") from error


def _run(rclpy: Any, arguments: list[str]) -> None:
    with stop_on_signals() as stop, ros_context(["segmenter_node", *arguments]) as context:
        from pvd_ros.node.segmenter_node import SegmenterNode

        node = SegmenterNode(context)
        try:
            if node.get_parameter("autostart").value:
                node.start()
            executor = rclpy.executors.SingleThreadedExecutor(context=context)
            executor.add_node(node)
            # Short waits, because Python handles signals only between them.
            while not stop.is_set():
                executor.spin_once(timeout_sec=0.1)
            node.finish()
            executor.shutdown()
        finally:
            node.destroy_node()


def _parser() -> argparse.ArgumentParser:
    rows = [f"  {spec.name:<20}{spec.default!r:<19} {spec.description}" for spec in SPECS]
    return argparse.ArgumentParser(
        prog="segmenter_node",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="segmenter_node [--ros-args -p NAME:=VALUE ... --params-file FILE -r OLD:=NEW]",
        description="Label the points of a PointCloud2 topic with semantic classes.",
        epilog="parameters (name, default, meaning):\n" + "\n".join(rows),
    )
