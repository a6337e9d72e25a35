"""A sensor that sends clouds at a multiple of what the node can label, and hears how long each took. Needs rclpy."""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from pvd_cli.demo.processes import Child
from pvd_core.borders.errors import UserError
from pvd_ros.middleware.ros_session import qos_profile, ros_context
from scripts.sensor_cloud import sensor_cloud, stamp_now

# What the rate is taken from: the machine may become busier, or less so.
_RECENT = 21
_MEMORY_PERIOD_S = 1.0
_DEADLINE_S = 300.0


@dataclass
class Run:
    """What was sent and heard, but for the `num_before` clouds by which the pace was measured. Milliseconds of each
    labelled cloud: waited_ms from arrival to start of work, total_ms from there to published. memory_mb: the node's,
    one a second."""

    num_before: int = 0
    num_sent: int = 0
    total_ms: list[float] = field(default_factory=list)
    waited_ms: list[float] = field(default_factory=list)
    memory_mb: list[float] = field(default_factory=list)


class Sensor:
    """Sends the same cloud again and again, each with its own stamp. One use."""

    def __init__(self, ros_node: Any, executor: Any, node: Child, topic: str, num_points: int) -> None:
        from diagnostic_msgs.msg import DiagnosticArray
        from sensor_msgs.msg import PointCloud2

        self._ros_node, self._executor, self._node = ros_node, executor, node
        self._run, self._first_ms = Run(), [0.0]
        self._cloud = sensor_cloud(num_points)
        self._publisher = ros_node.create_publisher(PointCloud2, topic, qos_profile(False, 1))
        ros_node.create_subscription(DiagnosticArray, "/segmenter/latency", self._on_latency, qos_profile(True, 100))

    def run(self, seconds: float, times: float) -> Run:
        """Sends for so long, `times` clouds for each that the node can label."""
        self._wait_until(lambda: self._publisher.get_subscription_count() > 0, "the node does not subscribe")
        self._send_one_by_one(5)
        self._first_ms, self._run = self._run.total_ms, Run(num_before=self._run.num_sent)
        now = time.monotonic()
        end, next_send, next_look = now + seconds, now, now
        while (now := time.monotonic()) < end:
            if now >= next_send:
                self._send()
                period = 1e-3 * median(self._run.total_ms[-_RECENT:] or self._first_ms) / times
                next_send = max(next_send + period, now)
            if now >= next_look:
                self._run.memory_mb.append(self._node.resident_mb())
                self._node.check_alive()
                next_look = now + _MEMORY_PERIOD_S
            self._executor.spin_once(timeout_sec=max(0.0, min(next_send - time.monotonic(), 0.05)))
        self._hear_the_last()
        return self._run

    def _send_one_by_one(self, count: int) -> None:
        """Each after the one before it is labelled: what the node can do without overload."""
        for number in range(count):
            self._send()
            self._wait_until(functools.partial(self._has_labelled, number + 1), "the node labels no cloud")

    def _has_labelled(self, count: int) -> bool:
        return len(self._run.total_ms) >= count

    def _send(self) -> None:
        stamp_now(self._cloud)
        self._publisher.publish(self._cloud)
        self._run.num_sent += 1

    def _hear_the_last(self) -> None:
        """Returns once no cloud has been labelled for the time of several."""
        quiet_s = max(2.0, 5e-3 * max(self._run.total_ms, default=0.0))
        heard, since = len(self._run.total_ms), time.monotonic()
        while time.monotonic() < since + quiet_s:
            self._executor.spin_once(timeout_sec=0.1)
            if len(self._run.total_ms) > heard:
                heard, since = len(self._run.total_ms), time.monotonic()

    def _wait_until(self, condition: Any, complaint: str) -> None:
        end = time.monotonic() + _DEADLINE_S
        while not condition():
            self._node.check_alive()
            if time.monotonic() > end:
                raise UserError(f"{complaint} within {_DEADLINE_S:g} s; its log is {self._node.log}")
            self._executor.spin_once(timeout_sec=0.05)

    def _on_latency(self, message: Any) -> None:
        stages = {item.key: float(item.value) for item in message.status[0].values}
        self._run.total_ms.append(stages["total"])
        self._run.waited_ms.append(stages["queue"])


@contextmanager
def sensor_beside(node: Child, topic: str, num_points: int) -> Iterator[Sensor]:
    """A sensor on the domain of this process; `node` is the segmentation node that hears it."""
    with ros_context() as context:
        import rclpy

        ros_node = rclpy.create_node("endurance", context=context, use_global_arguments=False)
        executor = rclpy.executors.SingleThreadedExecutor(context=context)
        executor.add_node(ros_node)
        yield Sensor(ros_node, executor, node, topic, num_points)
        executor.shutdown()
        ros_node.destroy_node()
