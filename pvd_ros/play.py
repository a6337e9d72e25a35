"""Plays the clouds of a bag into ROS 2 at the pace of the recording: `python -m pvd_ros.play BAG`."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

from pvd_core.borders.errors import UserError
from pvd_core.borders.files import check_output, write_atomically
from pvd_core.borders.wording import counted
from pvd_ros.bags.bag import Bag
from pvd_ros.bags.channel import BagError
from pvd_ros.bags.reader import cloud_topic, open_bag
from pvd_ros.bags.types import cloud_from_bytes
from pvd_ros.codec import MalformedCloudError, stamp_of
from pvd_ros.middleware.ros_session import check_topic_name, qos_profile, require_rclpy, ros_context, stop_on_signals

LATE_S = 0.05
_MOST_LINES = 20


@dataclass
class PlayReport:
    """What was played: clouds published, of these the late ones, and messages that are no PointCloud2.

    total: messages on the topic. stamps: (stamp in the bag, stamp as published) in nanoseconds of each cloud, in the
    order of publishing. not_read: which messages were unreadable, and why. remarks: what else is to be known.
    """

    topic: str
    total: int = 0
    clouds: int = 0
    unreadable: int = 0
    late: int = 0
    stamps: list[tuple[int, int]] = field(default_factory=list)
    not_read: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def text(self) -> str:
        """The report for people."""
        played = (
            f"played {counted(self.clouds, 'cloud')} on {self.topic}, {self.late} late, {self.unreadable} unreadable"
        )
        notes = [f"note: {remark}" for remark in self.remarks]
        more = [f"and {len(self.not_read) - _MOST_LINES} more"] if len(self.not_read) > _MOST_LINES else []
        return "\n".join([played, *(f"not played: {each}" for each in self.not_read[:_MOST_LINES] + more), *notes])


def play_bag(
    path: Path | str,
    topic: str | None = None,
    rate: float = 1.0,
    loop: bool = False,
    *,
    publish_as: str | None = None,
    restamp: bool = True,
    reliable: bool = False,
    salvage: bool = False,
    wait_for_subscribers: int = 0,
    wait_timeout_s: float = 60.0,
    stop: Event | None = None,
    progress: Callable[[PlayReport], object] | None = None,
) -> PlayReport:
    """Publishes the clouds of `topic` (default: the bag's only cloud topic) on `publish_as` (default: the same name).

    The time between clouds is that between the log times in the bag, divided by `rate`. With `loop` the bag starts
    again at its end. With `restamp` the header stamp becomes the time of publishing, so that latencies can be measured
    against it; without it clouds are unchanged. wait_for_subscribers: start once there are that many; UserError if
    there are fewer after wait_timeout_s. Setting `stop` ends the playing. Clouds published more than 50 ms behind
    schedule count as late. salvage: play what is whole of a damaged bag. progress(report) is called after each cloud.
    BagError and UserError for what does not fit.
    """
    if not rate > 0:
        raise UserError(f"rate is {rate}, expected more than 0")
    stop = stop or Event()
    with open_bag(path, salvage) as bag:
        topic = cloud_topic(bag, topic)
        report = PlayReport(publish_as or topic, total=bag.count(topic), remarks=bag.remarks)
        if not report.total:
            raise BagError(f"topic {topic} of {path} holds no clouds: there is nothing to play")
        check_topic_name("the topic to publish on", report.topic)
        with ros_context() as context, _publisher(context, report.topic, reliable) as publisher:
            _wait_for_subscribers(publisher, wait_for_subscribers, wait_timeout_s, stop)
            while not stop.is_set():
                _play_once(bag, topic, rate, restamp, publisher, report, stop, progress)
                # Only unreadable messages would come again and again.
                if not loop or not report.clouds:
                    break
            # A best-effort cloud stays in this process's shared memory until the subscriber takes it.
            stop.wait(0.3)
        report.not_read += bag.damage
    if not report.clouds and not stop.is_set():
        raise BagError(f"not one of the {report.total} clouds of {path} was played: {report.not_read[0]}")
    return report


@contextmanager
def _publisher(context: Any, topic: str, reliable: bool) -> Iterator[Any]:
    rclpy, messages = require_rclpy()
    node = rclpy.create_node("bag_player", context=context, use_global_arguments=False)
    try:
        yield node.create_publisher(messages.PointCloud2, topic, qos_profile(reliable, depth=5))
    finally:
        node.destroy_node()


def _wait_for_subscribers(publisher: Any, wanted: int, timeout_s: float, stop: Event) -> None:
    deadline = time.monotonic() + timeout_s
    while (found := publisher.get_subscription_count()) < wanted and not stop.wait(0.02):
        if time.monotonic() > deadline:
            raise UserError(
                f"{counted(found, 'subscriber')} on {publisher.topic_name} after {timeout_s:g} s, expected {wanted}"
            )
    if wanted:
        # They may discover this publisher a moment later than it discovers them.
        stop.wait(0.3)


def _play_once(
    bag: Bag,
    topic: str,
    rate: float,
    restamp: bool,
    publisher: Any,
    report: PlayReport,
    stop: Event,
    progress: Callable[[PlayReport], object] | None,
) -> None:
    start: float | None = None
    first_log_time_ns = 0
    for number, (_, log_time_ns, raw, _) in enumerate(bag.messages(topic), start=1):
        try:
            message = _deserialised(raw)
        except MalformedCloudError as error:
            report.unreadable += 1
            note = f"cloud {number}: {error}"
            report.not_read += [note] if note not in report.not_read else []  # in a loop it comes again
            continue
        if start is None:
            start, first_log_time_ns = time.monotonic(), log_time_ns
        due = start + (log_time_ns - first_log_time_ns) / 1e9 / rate
        if stop.wait(max(0.0, due - time.monotonic())):
            return
        report.late += time.monotonic() - due > LATE_S
        report.stamps.append((stamp_of(message), _publish(publisher, message, restamp)))
        report.clouds += 1
        if progress:
            progress(report)


def _deserialised(raw: bytes) -> Any:
    """rclpy's PointCloud2. MalformedCloudError if the bytes are none: rosbags checks them, for rclpy does not always
    notice."""
    _, messages = require_rclpy()
    from rclpy.serialization import deserialize_message

    cloud_from_bytes(raw)
    return deserialize_message(raw, messages.PointCloud2)


def _publish(publisher: Any, message: Any, restamp: bool) -> int:
    """Publishes the message and returns its stamp as published, in nanoseconds."""
    if restamp:
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(time.time_ns(), 10**9)
    publisher.publish(message)
    return stamp_of(message)


def parser() -> argparse.ArgumentParser:
    """The options of `python -m pvd_ros.play`."""
    play = argparse.ArgumentParser(prog="python -m pvd_ros.play", description="Play the clouds of a bag into ROS 2.")
    play.add_argument("bag", type=Path)
    play.add_argument("--topic", help="topic in the bag; default: its only cloud topic")
    play.add_argument("--publish-as", help="topic to publish on; default: the topic in the bag")
    play.add_argument("--rate", type=float, default=1.0, help="2 plays twice as fast; default 1")
    play.add_argument("--loop", action="store_true", help="start again at the end, until Ctrl-C")
    play.add_argument("--keep-stamps", action="store_true", help="leave header stamps as recorded; default: now")
    play.add_argument("--reliable", action="store_true", help="reliable delivery; default: best effort, as sensors do")
    play.add_argument("--salvage", action="store_true", help="play what is whole of a damaged bag")
    play.add_argument("--wait-for-subscribers", type=int, default=0, metavar="N", help="start when N are there")
    play.add_argument("--wait-timeout", type=float, default=60.0, metavar="S", help="give up waiting after S seconds")
    play.add_argument("--check", action="store_true", help="only check that the bag can be played")
    play.add_argument("--report", type=Path, metavar="FILE", help="write what was played as JSON")
    return play


def main(arguments: list[str] | None = None) -> int:
    """Plays a bag by the options of the command line. Exit code 0, or 2 for the user's mistakes."""
    chosen = parser().parse_args(arguments)
    try:
        if chosen.report:
            check_output(chosen.report)
        if chosen.check:
            with open_bag(chosen.bag, chosen.salvage) as bag:
                cloud_topic(bag, chosen.topic)
            return 0
        with stop_on_signals() as stop:
            report = play_bag(
                chosen.bag,
                chosen.topic,
                chosen.rate,
                chosen.loop,
                publish_as=chosen.publish_as,
                restamp=not chosen.keep_stamps,
                reliable=chosen.reliable,
                salvage=chosen.salvage,
                wait_for_subscribers=chosen.wait_for_subscribers,
                wait_timeout_s=chosen.wait_timeout,
                stop=stop,
            )
        if chosen.report:
            write_atomically(chosen.report, json.dumps(asdict(report)).encode())
    except UserError as error:
        print(f"play: {error}", file=sys.stderr)
        return 2
    print(report.text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
