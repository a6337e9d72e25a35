"""Records the clouds of a topic into a bag, with their times of arrival: `python -m pvd_ros.record OUT --topic T`."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import Event

from pvd_core.borders.errors import UserError
from pvd_core.borders.files import check_output, write_atomically
from pvd_core.borders.wording import counted
from pvd_ros.bags.types import cloud_from_bytes
from pvd_ros.bags.writer import BagWriter
from pvd_ros.codec import MalformedCloudError, stamp_of
from pvd_ros.middleware.ros_session import check_topic_name, qos_profile, require_rclpy, ros_context, stop_on_signals


@dataclass
class RecordReport:
    """What was recorded: clouds written, and messages that are no PointCloud2.

    arrivals: (header stamp, time of arrival by the system clock) in nanoseconds of each cloud.
    """

    topic: str
    clouds: int = 0
    unreadable: int = 0
    arrivals: list[tuple[int, int]] = field(default_factory=list)


def record_topic(
    out_bag: Path | str,
    topic: str,
    *,
    max_clouds: int | None = None,
    idle_s: float | None = None,
    timeout_s: float | None = None,
    reliable: bool = True,
    storage: str = "mcap",
    stop: Event | None = None,
    started: Callable[[], object] | None = None,
    matched: Callable[[], object] | None = None,
) -> RecordReport:
    """Writes every cloud of `topic` into the new bag `out_bag`, logged at its time of arrival, until `max_clouds` have
    come, or none has come for `idle_s` seconds after the first, or `timeout_s` seconds have passed, or `stop` is set.

    reliable: as the node publishes; False receives from best-effort publishers, such as sensors, too.
    started() is called once the subscription exists, matched() once a publisher of the topic is there.
    UserError for a wrong topic name or bag.
    """
    check_topic_name("the topic to record", topic)
    stop = stop or Event()
    report = RecordReport(topic)
    with BagWriter(out_bag, storage, leftovers="refuse") as bag, ros_context() as context:
        rclpy, messages = require_rclpy()
        node = rclpy.create_node("bag_recorder", context=context, use_global_arguments=False)
        executor = rclpy.executors.SingleThreadedExecutor(context=context)
        executor.add_node(node)

        def on_cloud(raw: bytes) -> None:
            _write(bag, report, raw)

        qos = qos_profile(reliable, depth=20)
        node.create_subscription(messages.PointCloud2, topic, on_cloud, qos, raw=True)
        if started:
            started()
        limits = _Limits(max_clouds, idle_s, timeout_s)
        while not stop.is_set() and not limits.reached(report):
            executor.spin_once(timeout_sec=0.1)
            if matched and node.count_publishers(topic):
                matched()
                matched = None
        executor.shutdown()
        node.destroy_node()
    return report


def _write(bag: BagWriter, report: RecordReport, raw: bytes) -> None:
    arrival_ns = time.time_ns()
    try:
        stamp_ns = stamp_of(cloud_from_bytes(raw))
    except MalformedCloudError:
        report.unreadable += 1
        return
    bag.write_cloud_bytes(report.topic, raw, arrival_ns)
    report.arrivals.append((stamp_ns, arrival_ns))
    report.clouds += 1


class _Limits:
    """When a recording is over."""

    def __init__(self, max_clouds: int | None, idle_s: float | None, timeout_s: float | None) -> None:
        self._max_clouds = max_clouds
        self._idle_ns = None if idle_s is None else int(idle_s * 1e9)
        self._deadline = None if timeout_s is None else time.monotonic() + timeout_s

    def reached(self, report: RecordReport) -> bool:
        if self._max_clouds is not None and report.clouds >= self._max_clouds:
            return True
        if self._deadline is not None and time.monotonic() > self._deadline:
            return True
        return bool(self._idle_ns and report.arrivals and time.time_ns() - report.arrivals[-1][1] > self._idle_ns)


def main(arguments: list[str] | None = None) -> int:
    """Records a topic by the options of the command line. Exit code 0, or 2 for the user's mistakes."""
    parser = argparse.ArgumentParser(prog="python -m pvd_ros.record", description="Record a cloud topic into a bag.")
    parser.add_argument("bag", type=Path, help="new bag; never overwritten")
    parser.add_argument("--topic", required=True)
    parser.add_argument("--max-clouds", type=int, help="stop after this many")
    parser.add_argument("--idle", type=float, metavar="S", help="stop when none came for S seconds after the first")
    parser.add_argument("--timeout", type=float, metavar="S", help="stop after S seconds in any case")
    parser.add_argument("--best-effort", action="store_true", help="also hear best-effort publishers")
    parser.add_argument("--storage", default="mcap", help="mcap (default) or sqlite3")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write what arrived when as JSON")
    chosen = parser.parse_args(arguments)
    try:
        if chosen.report:
            check_output(chosen.report)
        with stop_on_signals() as stop:
            report = record_topic(
                chosen.bag,
                chosen.topic,
                max_clouds=chosen.max_clouds,
                idle_s=chosen.idle,
                timeout_s=chosen.timeout,
                reliable=not chosen.best_effort,
                storage=chosen.storage,
                stop=stop,
                started=lambda: print(f"recording {chosen.topic} into {chosen.bag}", flush=True),
                matched=lambda: print(f"hearing a publisher of {chosen.topic}", flush=True),
            )
        if chosen.report:
            write_atomically(chosen.report, json.dumps(asdict(report)).encode())
    except UserError as error:
        print(f"record: {error}", file=sys.stderr)
        return 2
    print(f"recorded {counted(report.clouds, 'cloud')} of {report.topic} into {chosen.bag}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
