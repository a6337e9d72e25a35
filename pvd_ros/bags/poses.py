"""The poses of a bag's clouds: from its odometry or TF, or from a file. Messages are read as the clouds come."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from pvd_core.borders.errors import UserError
from pvd_core.borders.wording import counted
from pvd_core.clouds.poses import sensor_poses
from pvd_ros.bags.bag import Bag
from pvd_ros.bags.channel import CDR, BagError, Message
from pvd_ros.bags.pose_options import PoseOptions
from pvd_ros.bags.types import typestore
from pvd_ros.poses import FrameTree, OdometryPoses, PoseLimits, PoseSource
from pvd_ros.poses.rigid import is_too_fast, turn_of
from pvd_ros.poses.source import ODOMETRY, TRANSFORMS

# Poses are computed from clouds, and are logged after them.
LOOK_AHEAD_NS = 3_000_000_000
# Before the first cloud of a part of a bag.
_LOOK_BACK_NS = 10_000_000_000


class CloudPoses(PoseSource, Protocol):
    """A source of poses for the clouds of a bag, which come in order."""

    def go_to(self, number: int, log_time_ns: int) -> None:
        """Makes ready for the next cloud: its number in the bag, 1 for the first one, and its log time."""


def poses_of(bag: Bag, topic: str, options: PoseOptions, start_ns: int | None = None) -> CloudPoses | None:
    """The poses of the clouds on `topic`, from those logged at start_ns on (None: from the first); None where `options`
    name no source. UserError for a file that does not fit, BagError for topics that are missing or of another type."""
    if options.file:
        return FilePoses(Path(options.file), bag.count(topic), options.limits)
    if options.odometry:
        return _odometry_poses(bag, options, start_ns)
    if options.fixed_frame:
        return _frame_poses(bag, options, start_ns)
    return None


class FilePoses:
    """Line N of a poses.txt of KITTI is the pose of cloud N."""

    def __init__(self, path: Path, num_clouds: int, limits: PoseLimits) -> None:
        self.counters: Counter[str] = Counter()
        self.remarks: list[str] = []
        self._poses, self._limits = sensor_poses(path, path.with_name("calib.txt")), limits
        self._number = 0
        self._last_two = [np.eye(4), np.eye(4)]
        if len(self._poses) < num_clouds:
            raise UserError(
                f"{path} has {counted(len(self._poses), 'pose')} for {counted(num_clouds, 'cloud')}: expected a line "
                "for each cloud of the topic. It is cut short or of another drive; copy that of this drive again"
            )
        if len(self._poses) > num_clouds:
            self.remarks.append(
                f"{path} has {counted(len(self._poses), 'pose')} for {counted(num_clouds, 'cloud')}: line N is taken "
                "for cloud N, which is wrong where clouds are missing in the bag"
            )

    def go_to(self, number: int, _log_time_ns: int) -> None:
        """As CloudPoses has it."""
        self._number = number

    def pose(self, _stamp_ns: int, _frame: str) -> np.ndarray:
        """As PoseSource has it."""
        self._last_two = [self._last_two[1], self._poses[self._number - 1]]
        return self._last_two[1]

    def jumped_between(self, start_ns: int, end_ns: int, _frame: str) -> bool:
        """As PoseSource has it, for the stamps of the last two poses that were given."""
        first, second = self._last_two
        distance_m = float(np.linalg.norm(second[:3, 3] - first[:3, 3]))
        return is_too_fast(
            distance_m, turn_of(first[:3, :3].T @ second[:3, :3]), (end_ns - start_ns) / 1e9, self._limits
        )


class BagPoses:
    """A source that takes the messages of a topic up to those logged shortly after the cloud."""

    def __init__(
        self, source: PoseSource, bag: Bag, topic: str, take: Callable[[Any], None], start_ns: int | None
    ) -> None:
        self._source, self._take = source, take
        self.counters, self.remarks = source.counters, source.remarks
        self._messages = bag.messages(topic, None if start_ns is None else start_ns - _LOOK_BACK_NS)
        self._next = next(self._messages, None)

    def go_to(self, _number: int, log_time_ns: int) -> None:
        """As CloudPoses has it."""
        while self._next is not None and self._next.log_time_ns <= log_time_ns + LOOK_AHEAD_NS:
            take_message(self._next, self._source, self._take)
            self._next = next(self._messages, None)

    def pose(self, stamp_ns: int, frame: str) -> np.ndarray:
        """As PoseSource has it."""
        return self._source.pose(stamp_ns, frame)

    def jumped_between(self, start_ns: int, end_ns: int, frame: str) -> bool:
        """As PoseSource has it."""
        return self._source.jumped_between(start_ns, end_ns, frame)


def take_message(message: Message, source: PoseSource, take: Callable[[Any], None]) -> None:
    """Hands a message over, deserialised; one whose bytes cannot be read is refused, counted and said."""
    channel = message.channel
    try:
        content = typestore().deserialize_cdr(message.raw, channel.message_type)
    except Exception as error:  # bytes of anything else make the reader of rosbags raise many kinds of errors
        source.counters["poses_refused"] += 1
        sentence = f"messages on {channel.topic} are refused: their bytes are no {channel.message_type} ({error})"
        if source.counters["poses_refused"] == 1:
            source.remarks.append(sentence)
        return
    take(content)


def check_topic(bag: Bag, topic: str, message_type: str, option: str) -> None:
    """BagError unless a topic is there, and of that type alone; `option` says in the message who names it."""
    channels = [channel for channel in bag.channels if channel.topic == topic]
    if channels and all(channel.message_type == message_type and channel.encoding == CDR for channel in channels):
        return
    found = f"{topic} is {channels[0].message_type}" if channels else f"no topic {topic}"
    others = sorted({channel.topic for channel in bag.channels if channel.message_type == message_type})
    known = f"topics of that type: {', '.join(others)}" if others else "it has no topic of that type"
    raise BagError(f"{option}: {found} in {bag.path}, expected {message_type}; {known}")


def _odometry_poses(bag: Bag, options: PoseOptions, start_ns: int | None) -> BagPoses:
    check_topic(bag, options.odometry, ODOMETRY, "--odometry")
    source = OdometryPoses(options.odometry, options.limits)
    _take_static(bag, source.frames)
    return BagPoses(source, bag, options.odometry, source.add, start_ns)


def _frame_poses(bag: Bag, options: PoseOptions, start_ns: int | None) -> BagPoses:
    check_topic(bag, "/tf", TRANSFORMS, "--fixed-frame")
    source = FrameTree(options.fixed_frame, options.limits)
    _take_static(bag, source)
    return BagPoses(source, bag, "/tf", source.add, start_ns)


def _take_static(bag: Bag, frames: FrameTree) -> None:
    for message in bag.messages("/tf_static"):
        if message.channel.message_type == TRANSFORMS:
            take_message(message, frames, lambda content: frames.add(content, is_static=True))
