"""Plays the clouds of a bag into ROS 2 at the pace of the recording: `python -m pvd_ros.play BAG`."""

from __future__ import annotations

import argparse
import heapq
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

from pvd_core.borders.errors import UserError
from pvd_core.borders.files import check_output, write_atomically
from pvd_core.borders.wording import counted
from pvd_ros.bags.bag import Bag
from pvd_ros.bags.channel import BagError, Message
from pvd_ros.bags.reader import cloud_topic, open_bag
from pvd_ros.bags.topic_names import meant_topic
from pvd_ros.bags.types import cloud_from_bytes, typestore
from pvd_ros.codec import CLOUD_TYPE, MalformedCloudError, stamp_of
from pvd_ros.middleware.message_types import message_class, shift_stamps
from pvd_ros.middleware.ros_session import check_topic_name, qos_profile, require_rclpy, ros_context, stop_on_signals

LATE_S = 0.05
_MOST_LINES = 20


@dataclass
class PlayReport:
    """What was played: clouds published, of these the late ones, and messages that are no PointCloud2.

    total: messages on the topic. stamps: (stamp in the bag, stamp as published) in nanoseconds of each cloud, in the
    order of publishing. others: messages played of other topics. not_read: which messages were unreadable, and why.
    remarks: what else is to be known.
    """

    topic: str
    total: int = 0
    clouds: int = 0
    unreadable: int = 0
    late: int = 0
    others: int = 0
    stamps: list[tuple[int, int]] = field(default_factory=list)
    not_read: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def text(self) -> str:
        """The report for people."""
        played = (
            f"played {counted(self.clouds, 'cloud')} on {self.topic}, {self.late} late, {self.unreadable} unreadable"
        )
        played += f", {counted(self.others, 'message')} of other topics" if self.others else ""
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
    also: Sequence[str] = (),
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
    against it; without it clouds are unchanged. also: other topics, such as odometry, that are played under their own
    names; new stamps then keep their distances, divided by `rate`, so that poses still fit the clouds.
    wait_for_subscribers: start once there are that many; UserError if there are fewer after wait_timeout_s. Setting
    `stop` ends the playing. Clouds published more than 50 ms behind schedule count as late. salvage: play what is whole
    of a damaged bag. progress(report) is called after each cloud. BagError and UserError for what does not fit.
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
        types = {topic: CLOUD_TYPE} | {name: _type_of(bag, name) for name in also}
        names = {**dict(zip(types, types, strict=True)), topic: report.topic}
        with ros_context() as context, _publishers(context, types, names, topic, reliable) as publishers:
            _wait_for_subscribers(publishers[topic], wait_for_subscribers, wait_timeout_s, stop)
            while not stop.is_set():
                player = _Pass(bag, topic, rate, restamp, publishers, report, stop, progress)
                player.play()
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
def _publishers(
    context: Any, types: dict[str, str], names: dict[str, str], cloud_topic: str, reliable: bool
) -> Iterator[dict[str, Any]]:
    """{topic in the bag: publisher}. Others than clouds are small and sent reliably."""
    rclpy, _ = require_rclpy()
    classes = {topic: message_class(name) for topic, name in types.items()}
    node = rclpy.create_node("bag_player", context=context, use_global_arguments=False)
    try:
        yield {
            topic: node.create_publisher(
                classes[topic],
                names[topic],
                qos_profile(reliable, depth=5)
                if topic == cloud_topic
                else qos_profile(True, depth=200, latched=topic == "/tf_static"),
            )
            for topic in types
        }
    finally:
        node.destroy_node()


def _type_of(bag: Bag, topic: str) -> str:
    """The type of messages on a topic; BagError where there are none."""
    found = {channel.message_type for channel in bag.channels if channel.topic == topic}
    if not found:
        topics = sorted({channel.topic for channel in bag.channels})
        raise BagError(f"no topic {topic} in {bag.path}; {meant_topic(topic, topics)}it has: {', '.join(topics)}")
    return found.pop()


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


class _Pass:
    """The bag played once."""

    def __init__(
        self,
        bag: Bag,
        topic: str,
        rate: float,
        restamp: bool,
        publishers: dict[str, Any],
        report: PlayReport,
        stop: Event,
        progress: Callable[[PlayReport], object] | None,
    ) -> None:
        self._topic, self._rate, self._restamps = topic, rate, restamp
        self._publishers, self._report, self._stop, self._progress = publishers, report, stop, progress
        # Of all topics in the order of log times.
        self._messages = heapq.merge(*map(bag.messages, publishers), key=lambda message: message.log_time_ns)
        self._start: tuple[float, int] | None = None
        self._first_stamps: tuple[int, int] | None = None

    def play(self) -> None:
        """Returns at the end of the bag, or once it is stopped."""
        number = 0
        for message in self._messages:
            is_cloud = message.channel.topic == self._topic
            number += is_cloud
            try:
                content = _deserialised(message)
            except MalformedCloudError as error:
                self._report.unreadable += is_cloud
                what = f"cloud {number}" if is_cloud else message.channel.topic
                note = f"{what}: {error}"
                # In a loop it comes again.
                self._report.not_read += [note] if note not in self._report.not_read else []
                continue
            due = self._due(message.log_time_ns)
            if self._stop.wait(max(0.0, due - time.monotonic())):
                return
            if not is_cloud:
                self._publish(message.channel.topic, content)
                self._report.others += 1
                continue
            self._report.late += time.monotonic() - due > LATE_S
            stamp_ns = stamp_of(content)
            self._publish(self._topic, content)
            self._report.stamps.append((stamp_ns, stamp_of(content)))
            self._report.clouds += 1
            if self._progress:
                self._progress(self._report)

    def _due(self, log_time_ns: int) -> float:
        """When a message is to be published, by the monotonic clock."""
        if self._start is None:
            self._start = time.monotonic(), log_time_ns
        return self._start[0] + (log_time_ns - self._start[1]) / 1e9 / self._rate

    def _publish(self, topic: str, content: Any) -> None:
        if self._restamps:
            shift_stamps(content, self._stamp_now)
        self._publishers[topic].publish(content)

    def _stamp_now(self, stamp_ns: int) -> int:
        """The stamp that a message gets in place of that in the bag."""
        now_ns = time.time_ns()
        if len(self._publishers) == 1:
            return now_ns
        if self._first_stamps is None:
            self._first_stamps = now_ns, stamp_ns
        return self._first_stamps[0] + round((stamp_ns - self._first_stamps[1]) / self._rate)


def _deserialised(message: Message) -> Any:
    """rclpy's message. MalformedCloudError if the bytes are none of its type: rosbags checks them, for rclpy does not
    always notice."""
    from rclpy.serialization import deserialize_message

    raw, name = message.raw, message.channel.message_type
    if name == CLOUD_TYPE:
        cloud_from_bytes(raw)
    else:
        try:
            typestore().deserialize_cdr(raw, name)
        except Exception as error:  # bytes of anything else make the reader of rosbags raise many kinds of errors
            raise MalformedCloudError("unreadable_message", f"{len(raw)} bytes are no {name}: {error}") from error
    return deserialize_message(raw, message_class(name))


def parser() -> argparse.ArgumentParser:
    """The options of `python -m pvd_ros.play`."""
    play = argparse.ArgumentParser(prog="python -m pvd_ros.play", description="Play the clouds of a bag into ROS 2.")
    play.add_argument("bag", type=Path)
    play.add_argument("--topic", help="topic in the bag; default: its only cloud topic")
    play.add_argument("--publish-as", help="topic to publish on; default: the topic in the bag")
    play.add_argument("--also", action="append", default=[], metavar="TOPIC", help="play this topic too; repeatable")
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
                also=chosen.also,
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
