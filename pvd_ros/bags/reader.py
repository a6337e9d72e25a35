"""Reads bags: the clouds of a topic, or every message as bytes. A damaged bag gives one clear error, or, salvaged, what
is whole of it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from pvd_core.borders.errors import UserError
from pvd_core.borders.files import why_not_a_file
from pvd_core.borders.wording import counted
from pvd_ros.bags.bag import Bag
from pvd_ros.bags.channel import CDR, BagError, BagFile, Channel, NoCloudsError
from pvd_ros.bags.compression import decompress_file
from pvd_ros.bags.folder import PACKED, check_count, files_of
from pvd_ros.bags.mcap_file import McapFile
from pvd_ros.bags.sqlite_file import SqliteFile
from pvd_ros.bags.topic_names import meant_topic
from pvd_ros.bags.types import cloud_from_bytes
from pvd_ros.codec import CLOUD_TYPE


class BagCloud(NamedTuple):
    """One PointCloud2 of rosbags, and the time at which the recorder logged it."""

    topic: str
    message: Any
    log_time_ns: int


def read_clouds(path: Path | str, topic: str | None = None) -> Iterator[BagCloud]:
    """Every cloud of `topic` in the order of their log times. topic None: the bag's only PointCloud2 topic.

    BagError for a bag or topic that is missing or damaged, MalformedCloudError for a message that is no PointCloud2.
    """
    with open_bag(path) as bag:
        topic = cloud_topic(bag, topic)
        for message in bag.messages(topic):
            yield BagCloud(topic, cloud_from_bytes(message.raw), message.log_time_ns)


def topics_of(path: Path | str) -> dict[str, str]:
    """{topic: message type} of a bag. BagError if it cannot be read."""
    with open_bag(path) as bag:
        return {channel.topic: channel.message_type for channel in bag.channels}


@contextmanager
def open_bag(path: Path | str, salvage: bool = False) -> Iterator[Bag]:
    """The open bag in a folder or a file alone; also without metadata.yaml, compressed, split, or of ROS 1.

    All of it is looked at first. BagError if it cannot be opened, or if it is damaged or cut; with `salvage` what is
    whole is read then, and the bag's `damage` says what is not.
    """
    with ExitStack() as held:
        yield _opened(Path(path), salvage, held)


def cloud_topic(bag: Bag, topic: str | None) -> str:
    """`topic`, or for None the only PointCloud2 topic of the bag. BagError if the topic is missing or of another type,
    or if the choice is not clear; NoCloudsError if the bag has no PointCloud2 topic at all."""
    has = ", ".join(sorted({channel.described() for channel in bag.channels})) or "no topics"
    if not bag.channels and bag.damage:
        raise BagError(f"{'; '.join(bag.damage)}. Nothing of it is whole: copy it again from where it was recorded")
    chosen = [channel for channel in bag.channels if channel.topic == topic]
    clouds = sorted({channel.topic for channel in bag.channels if _holds_clouds(channel)})
    if not chosen and not clouds:
        raise NoCloudsError(f"no topic of type {CLOUD_TYPE} in {bag.path}; it has: {has}")
    if topic is not None and not chosen:
        raise BagError(f"no topic {topic} in {bag.path}; {meant_topic(topic, clouds)}it has: {has}")
    if topic is not None and not all(map(_holds_clouds, chosen)):
        raise BagError(f"{topic} in {bag.path} is not of type {CLOUD_TYPE} alone; the bag has: {has}")
    if topic is None and len(clouds) > 1:
        raise BagError(
            f"{len(clouds)} topics of type {CLOUD_TYPE} in {bag.path}: {', '.join(clouds)}; choose one with --topic"
        )
    return topic or clouds[0]


def _holds_clouds(channel: Channel) -> bool:
    return channel.message_type == CLOUD_TYPE and channel.encoding == CDR


def _opened(path: Path, salvage: bool, held: ExitStack) -> Bag:
    try:
        listed = files_of(path)
    except (OSError, ValueError) as error:
        raise BagError(f"cannot read {path}: {error}") from error
    files: list[BagFile] = []
    damage, remarks = list(listed.damage), []
    for each in listed.paths:
        try:
            file = _file(each, held)
        except BagError as error:
            if not salvage or len(listed.paths) == 1:
                raise
            damage.append(str(error))
            continue
        held.callback(file.close)
        files.append(file)
        damage += file.damage
        remarks += file.remarks
    wrong = check_count(path, listed, sum(len(file.times_ns) for file in files))
    damage += [] if damage else wrong[0]
    remarks += wrong[1]
    bag = Bag(path, files, damage, remarks, salvage)
    if damage and not salvage:
        # Read, not counted: an index may know clouds whose bytes are gone.
        readable, topics = Bag(path, files, [], [], salvage=True), {c.topic for c in bag.channels if _holds_clouds(c)}
        num_clouds = sum(1 for topic in topics for _ in readable.messages(topic))
        raise BagError(f"{'; '.join(damage)}. {_way_out(num_clouds)}")
    return bag


def _way_out(num_clouds: int) -> str:
    if not num_clouds:
        return "No cloud of it can be read: copy it again from where it was recorded"
    salvage = "`--salvage` of `pvd label-bag` and `pvd play-bag` takes what is whole"
    return f"{counted(num_clouds, 'cloud')} can be read: {salvage}"


def _file(path: Path, held: ExitStack) -> BagFile:
    try:
        if path.is_file() and (what := why_not_a_file(path)):
            raise BagError(f"{path} {what}")
        if path.name.lower().endswith(PACKED):
            path = _unpacked(path, held)
        return _reader_of(path)(path)
    except UserError:
        raise
    except (OSError, ValueError) as error:
        raise BagError(f"cannot read {path}: {error}") from error


def _reader_of(path: Path) -> Callable[[Path], BagFile]:
    if path.suffix.lower() == ".bag":
        from pvd_ros.bags.ros1_file import Ros1File

        return Ros1File
    return McapFile if path.suffix.lower() == ".mcap" else SqliteFile


def _unpacked(path: Path, held: ExitStack) -> Path:
    folder = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="pvd_bag_")))
    target = folder / path.stem
    try:
        decompress_file(path, target)
    except ValueError as error:
        raise BagError(f"{path} is cut or damaged: {error}; copy it again from where it was recorded") from error
    except OSError as error:
        raise BagError(
            f"{path} cannot be unpacked into {folder}: {error.strerror or error}; set TMPDIR to a folder with room"
        ) from error
    return target
