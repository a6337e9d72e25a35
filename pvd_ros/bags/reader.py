"""Reads rosbag2: the clouds of a topic, or every message as bytes. A damaged bag gives one clear error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from rosbags.interfaces import Connection
from rosbags.rosbag2 import Reader

from pvd_core.borders.errors import UserError
from pvd_core.clouds import SUFFIXES
from pvd_ros.bags.types import cloud_from_bytes
from pvd_ros.codec import CLOUD_TYPE


class BagError(UserError):
    """The bag is missing, damaged, or does not hold what was asked for."""


class BagCloud(NamedTuple):
    """One PointCloud2 of rosbags, and the time at which the recorder logged it."""

    topic: str
    message: Any
    log_time_ns: int


def read_clouds(path: Path | str, topic: str | None = None) -> Iterator[BagCloud]:
    """Every cloud of `topic` in the order of the bag. topic None: the bag's only PointCloud2 topic.

    BagError for a bag or topic that is missing or damaged, MalformedCloudError for a message that is no PointCloud2.
    """
    with open_bag(path) as reader:
        topic = cloud_topic(reader, path, topic)
        for _, log_time_ns, raw in raw_messages(reader, path, topic):
            yield BagCloud(topic, cloud_from_bytes(raw), log_time_ns)


def topics_of(path: Path | str) -> dict[str, str]:
    """{topic: message type} of a bag. BagError if it cannot be read."""
    with open_bag(path) as reader:
        return {connection.topic: connection.msgtype for connection in reader.connections}


@contextmanager
def open_bag(path: Path | str) -> Iterator[Reader]:
    """An open reader for a bag's folder, or for its .mcap or .db3 file alone. BagError if it cannot be opened."""
    path = Path(path)
    if not path.exists():
        raise BagError(f"no bag at {path}; expected a rosbag2 folder or an .mcap or .db3 file")
    if path.suffix.lower() in SUFFIXES and path.is_file():
        raise BagError(
            f"{path} is a scan, not a bag; expected a rosbag2 folder or an .mcap or .db3 file (scans: `pvd predict`)"
        )
    if path.is_dir() and not (path / "metadata.yaml").is_file():
        raise BagError(f"{path} is no rosbag2: it has no metadata.yaml; give the folder that ros2 bag record made")
    with bag_errors(path):
        reader = Reader(path)
        reader.open()
    try:
        yield reader
    finally:
        reader.close()


def cloud_topic(reader: Reader, path: Path | str, topic: str | None) -> str:
    """`topic`, or for None the only PointCloud2 topic of the bag at `path`. BagError if the topic is missing or of
    another type, or if the choice is not clear."""
    types = {connection.topic: connection.msgtype for connection in reader.connections}
    clouds = sorted(name for name, msgtype in types.items() if msgtype == CLOUD_TYPE)
    has = ", ".join(f"{name} ({msgtype})" for name, msgtype in sorted(types.items())) or "no topics"
    if topic is not None and topic not in types:
        raise BagError(f"no topic {topic} in {path}; it has: {has}")
    if topic is not None and types[topic] != CLOUD_TYPE:
        raise BagError(f"{topic} in {path} is of type {types[topic]}, expected {CLOUD_TYPE}; the bag has: {has}")
    if topic is None and not clouds:
        raise BagError(f"no topic of type {CLOUD_TYPE} in {path}; it has: {has}")
    if topic is None and len(clouds) > 1:
        raise BagError(
            f"{len(clouds)} topics of type {CLOUD_TYPE} in {path}: {', '.join(clouds)}; choose one with --topic"
        )
    return topic or clouds[0]


def raw_messages(reader: Reader, path: Path | str, topic: str | None = None) -> Iterator[tuple[Connection, int, bytes]]:
    """(connection, log time in ns, CDR bytes) of each message of `topic`, or for None of all messages. BagError if the
    bag is damaged or holds fewer messages than its metadata say."""
    connections = [connection for connection in reader.connections if topic in (None, connection.topic)]
    expected = sum(connection.msgcount for connection in connections)
    found = 0
    with bag_errors(path):
        for message in reader.messages(connections) if connections else ():
            found += 1
            yield message
    # A sqlite3 file that was cut short can still be a valid database; only the count in the metadata shows it.
    if found < expected:
        raise BagError(f"bag {path} is truncated: it declares {expected} messages but holds {found}")


@contextmanager
def bag_errors(path: Path | str) -> Iterator[None]:
    """Turns any error in the block into a BagError; storage plugins raise many kinds for a damaged file."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # sqlite3, struct, zstd, yaml, key and value errors
        detail = str(error) or type(error).__name__
        raise BagError(
            f"cannot read bag {path}: {detail}. It may be truncated (was the recorder killed?); "
            "`ros2 bag reindex` or `mcap recover` may save it"
        ) from error
