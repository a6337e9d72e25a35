"""The process that hears: when each cloud came, by its stamp."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from pvd_core.borders.errors import UserError
from pvd_core.runtime.memory import keep_freed_memory
from pvd_ros.codec import stamp_of
from pvd_ros.middleware.ros_session import qos_profile, require_rclpy, ros_context, stop_on_signals
from pvd_ros.middleware.transport import CYCLONE_VARIABLE, PROFILE_VARIABLES
from scripts.delivery.case import DEPTH, LISTENS, RELIABILITIES, TOPIC, WARM_UP


def main() -> int:
    """Hears until SIGINT or SIGTERM, then writes the report."""
    options = _options()
    keep_freed_memory()  # as the node does
    ear = _Ear()
    try:
        with stop_on_signals() as stop, ros_context() as context:
            rclpy, messages = require_rclpy()
            from rclpy.utilities import get_rmw_implementation_identifier

            node = rclpy.create_node("delivery_subscriber", context=context, use_global_arguments=False)
            executor = rclpy.executors.SingleThreadedExecutor(context=context)
            executor.add_node(node)
            quality = qos_profile(options.reliability == "reliable", DEPTH)
            node.create_subscription(messages.PointCloud2, TOPIC, ear.on_cloud, quality)
            print(LISTENS, flush=True)
            while not stop.is_set():
                executor.spin_once(timeout_sec=0.1)
            options.report.write_text(json.dumps(ear.report(get_rmw_implementation_identifier())))
            executor.shutdown()
            node.destroy_node()
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


class _Ear:
    """Keeps (stamp, arrival) of clouds, in nanoseconds of the same clock."""

    def __init__(self) -> None:
        self._num_warm_ups = 0
        self._heard: list[tuple[int, int]] = []
        self._cpu_s = time.process_time()

    def on_cloud(self, cloud: Any) -> None:
        now_ns = time.time_ns()
        if cloud.header.frame_id == WARM_UP:
            self._num_warm_ups += 1
            self._cpu_s = time.process_time()
        else:
            self._heard.append((stamp_of(cloud), now_ns))

    def report(self, middleware: str) -> dict[str, Any]:
        """cpu_s: processor time since the last small cloud. settings: what the middleware was configured by."""
        variable = CYCLONE_VARIABLE if "cyclonedds" in middleware else PROFILE_VARIABLES[0]
        return {
            "middleware": middleware,
            "settings": os.environ[variable],
            "warm_ups": self._num_warm_ups,
            "heard": self._heard,
            "cpu_s": time.process_time() - self._cpu_s,
        }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m scripts.delivery.subscriber", description="Hears clouds.")
    parser.add_argument("report", type=Path, help="file for what was heard")
    parser.add_argument("--reliability", choices=RELIABILITIES, required=True)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
