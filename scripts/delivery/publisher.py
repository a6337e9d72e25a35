"""The process that sends: clouds at a steady rate, each with the moment of its publishing as its stamp."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from threading import Event
from typing import Any

from pvd_core.borders.errors import UserError
from pvd_ros.middleware.ros_session import qos_profile, require_rclpy, ros_context, stop_on_signals
from scripts.delivery.case import DEPTH, HAS_SENT, RELIABILITIES, TOPIC, WARM_UP
from scripts.sensor_cloud import sensor_cloud, stamp_now

_NUM_WARM_UPS, _WARM_UP_PERIOD_S, _WARM_UP_POINTS = 10, 0.1, 100
_PATIENCE_S, _LAST_ONES_S = 30.0, 1.0


def main() -> int:
    """Sends by the options of the command line and waits for SIGINT. Exit code 2 where nobody subscribes."""
    options = _options()
    try:
        with stop_on_signals() as stop, ros_context() as context:
            rclpy, messages = require_rclpy()
            node = rclpy.create_node("delivery_publisher", context=context, use_global_arguments=False)
            quality = qos_profile(options.reliability == "reliable", DEPTH)
            publisher = node.create_publisher(messages.PointCloud2, TOPIC, quality)
            _warm_up(publisher, stop)
            report = _send(publisher, options, stop)
            options.report.write_text(json.dumps(report))
            print(HAS_SENT, flush=True)
            stop.wait()
            node.destroy_node()
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _warm_up(publisher: Any, stop: Event) -> None:
    """Sends small clouds once there is a subscriber, which may discover this publisher a moment later."""
    deadline = time.monotonic() + _PATIENCE_S
    while not publisher.get_subscription_count() and not stop.wait(0.02):
        if time.monotonic() > deadline:
            raise UserError(f"no subscriber on {publisher.topic_name} after {_PATIENCE_S:g} s")
    cloud = sensor_cloud(_WARM_UP_POINTS)
    cloud.header.frame_id = WARM_UP
    for _ in range(_NUM_WARM_UPS):
        publisher.publish(cloud)
        stop.wait(_WARM_UP_PERIOD_S)


def _send(publisher: Any, options: argparse.Namespace, stop: Event) -> dict[str, Any]:
    """Sends for so long; where a cloud takes longer than a period, fewer are sent. Returns the stamps, in nanoseconds,
    and the seconds of processor time that all took."""
    from rclpy.duration import Duration

    cloud, stamps, period_s = sensor_cloud(options.points), [], 1 / options.rate
    cpu_s, due = time.process_time(), time.monotonic()
    last = due + options.seconds - period_s / 2
    while due < last and not stop.wait(max(0.0, due - time.monotonic())):
        stamps.append(stamp_now(cloud))
        publisher.publish(cloud)
        due = max(due + period_s, time.monotonic())
    publisher.wait_for_all_acked(Duration(seconds=_LAST_ONES_S))
    stop.wait(_LAST_ONES_S)
    return {"stamps": stamps, "cpu_s": time.process_time() - cpu_s}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m scripts.delivery.publisher", description="Sends clouds.")
    parser.add_argument("report", type=Path, help="file for what was sent")
    parser.add_argument("--reliability", choices=RELIABILITIES, required=True)
    parser.add_argument("--points", type=int, required=True, help="points of a cloud")
    parser.add_argument("--rate", type=float, required=True, help="clouds a second")
    parser.add_argument("--seconds", type=float, required=True, help="for how long")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
