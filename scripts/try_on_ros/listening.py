"""Hears clouds and the node's counters in a process of its own, whose middleware can then be chosen: prints a line of
JSON whenever something came. `python3 listening.py TOPIC...`"""

from __future__ import annotations

import json
import sys
from typing import Any

from pvd_ros.middleware.ros_session import qos_profile, require_rclpy, ros_context, stop_on_signals


def main(topics: list[str]) -> None:
    """Listens until Ctrl-C. Lines: {"heard": {topic: clouds}, "cloud": {topic: [names of fields, points]}, "counts":
    {node: {counter: value}}, "reports": {node: how many came}}"""
    rclpy, messages = require_rclpy()
    from diagnostic_msgs.msg import DiagnosticArray

    found: dict[str, dict[str, Any]] = {"heard": dict.fromkeys(topics, 0), "cloud": {}, "counts": {}, "reports": {}}

    def on_cloud(topic: str, cloud: Any) -> None:
        found["heard"][topic] += 1
        found["cloud"][topic] = [[each.name for each in cloud.fields], cloud.height * cloud.width]
        print(json.dumps(found), flush=True)

    def on_health(message: Any) -> None:
        for status in message.status:
            values = {item.key: item.value for item in status.values}
            if "received" in values:
                numbers = {name: int(value) for name, value in values.items() if value.isdecimal()}
                name = status.name.split(":")[0]
                found["counts"][name] = numbers
                found["reports"][name] = found["reports"].get(name, 0) + 1
        print(json.dumps(found), flush=True)

    with stop_on_signals() as stop, ros_context() as context:
        node = rclpy.create_node("listening", context=context, use_global_arguments=False)
        for topic in topics:
            node.create_subscription(
                messages.PointCloud2, topic, lambda cloud, topic=topic: on_cloud(topic, cloud), qos_profile(True, 20)
            )
        node.create_subscription(DiagnosticArray, "/diagnostics", on_health, 10)
        executor = rclpy.executors.SingleThreadedExecutor(context=context)
        executor.add_node(node)
        print("listening", flush=True)
        while not stop.is_set():
            executor.spin_once(timeout_sec=0.1)
        executor.shutdown()
        node.destroy_node()


if __name__ == "__main__":
    main(sys.argv[1:])
