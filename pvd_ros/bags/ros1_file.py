"""Reads bags of ROS 1, http://wiki.ros.org/Bags/Format/2.0: their messages as ROS 2 has them. As with MCAP, all of a
file is read when it is opened, and its index is only used to see whether a message is missing."""

from __future__ import annotations

import bz2
import mmap
import struct
from array import array
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from rosbags.convert.converter import LATCH
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.msg import normalize_msgtype
from rosbags.typesys.store import Typestore

from pvd_core.borders.wording import counted
from pvd_ros.bags.channel import BagError, Channel
from pvd_ros.bags.compression import decompressed

_MAGIC = b"#ROSBAG V2.0\n"
_MESSAGE, _BAG, _INDEX, _CHUNK, _CHUNK_INFO, _CONNECTION = 2, 3, 4, 5, 6, 7
_CHUNKS_IN_MEMORY = 4
_OF_ROS2 = ("std_msgs/msg/Header", "builtin_interfaces/msg/Time", "builtin_interfaces/msg/Duration")


class _Record(NamedTuple):
    fields: dict[str, bytes]
    start: int
    """Where its data begin."""
    data: bytes

    @property
    def kind(self) -> int:
        return self.fields["op"][0]

    def number(self, name: str, form: str = "I") -> int:
        return int(struct.unpack(f"<{form}", self.fields[name])[0])


class Ros1File:
    """See BagFile. A topic whose messages ROS 2 cannot have is left out, with a remark."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.channels: list[Channel] = []
        self.times_ns, self.channel_of = array("q"), array("H")
        self.damage: list[str] = []
        self.remarks: list[str] = []
        self.has_checksums = False
        self.metadata: dict[str, dict[str, str]] = {}
        self._chunks: list[tuple[int, int, str]] = []  # position, size, compression
        self._chunk_of, self._starts, self._sizes = array("l"), array("Q"), array("Q")
        self._channel_of_connection: dict[int, int] = {}
        self._connections: dict[int, bytes] = {}
        self._converters: list[Callable[[bytes], memoryview]] = []
        self._num_found = self._num_declared = 0
        self._unpacked = lru_cache(_CHUNKS_IN_MEMORY)(self._unpack)
        self._file = path.open("rb")
        try:
            self._scan()
        except BaseException:
            self.close()
            raise

    def message(self, number: int) -> tuple[bytes, int]:
        """See BagFile."""
        start = self._starts[number]
        raw = self._unpacked(self._chunk_of[number])[start : start + self._sizes[number]]
        channel = self.channel_of[number]
        try:
            return bytes(self._converters[channel](raw)), 0
        except Exception as error:  # bytes of anything else; rosbags raises many kinds
            kind = self.channels[channel].message_type
            raise BagError(f"{self.path}: message {number + 1} is no {kind}: {error}") from error

    def close(self) -> None:
        """See BagFile."""
        self._file.close()

    def _scan(self) -> None:
        start = self._file.read(len(_MAGIC))
        if start != _MAGIC:
            found = f"it begins with {start!r}, expected {_MAGIC!r}" if start else "it is empty"
            raise BagError(f"{self.path} is no bag of ROS 1: {found}; copy it again from where it was recorded")
        with mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            records = _records(content, len(_MAGIC))
            while True:
                try:
                    record = next(records, None)
                    if record is None:
                        break
                    self._take(record)
                except _ERRORS as error:
                    # What comes after a damaged record is found where its length is right.
                    self.damage.append(f"{self.path}, a bag of ROS 1, is cut or damaged: {_words(error)}")
        if not self.damage and self._num_found != self._num_declared:
            self.damage.append(
                f"{self.path}, a bag of ROS 1, has {counted(self._num_found, 'message')} and its index "
                f"{self._num_declared:,}; where a recorder was killed, the index is missing"
            )

    def _take(self, record: _Record) -> None:
        if record.kind == _CHUNK:
            compression = record.fields["compression"].decode()
            self._chunks.append((record.start, len(record.data), compression))
            for inner in _records(_content(record.data, compression, record.number("size")), 0):
                if inner.kind == _MESSAGE:
                    self._take_message(inner)
                elif inner.kind == _CONNECTION:
                    self._take_connection(inner)
                else:
                    raise ValueError(f"a chunk holds a record of kind {inner.kind}")
        elif record.kind == _CONNECTION:
            self._take_connection(record)
        elif record.kind == _CHUNK_INFO:
            numbers = struct.unpack(f"<{len(record.data) // 4}I", record.data)
            self._num_declared += sum(numbers[1::2])
        elif record.kind not in (_BAG, _INDEX):
            raise ValueError(f"no record has the kind {record.kind}")

    def _take_message(self, record: _Record) -> None:
        self._num_found += 1
        seconds, nanoseconds = struct.unpack("<II", record.fields["time"])
        channel = self._channel_of_connection[record.number("conn")]
        if channel < 0:
            return
        self.times_ns.append(seconds * 10**9 + nanoseconds)
        self.channel_of.append(channel)
        self._chunk_of.append(len(self._chunks) - 1)
        self._starts.append(record.start)
        self._sizes.append(len(record.data))

    def _take_connection(self, record: _Record) -> None:
        number, topic = record.number("conn"), record.fields["topic"].decode()
        if self._connections.setdefault(number, record.data) != record.data:
            raise ValueError(f"connection {number} is described in two ways")
        if number in self._channel_of_connection:
            return
        fields = _fields(record.data)
        name = normalize_msgtype(fields["type"].decode())
        try:
            store = _ros2_store(fields["message_definition"].decode(), name)
            definition, _ = store.generate_msgdef(name, ros_version=2)
            type_hash = store.hash_rihs01(name)
        except Exception as error:  # of a definition that ROS 2 does not take; rosbags raises many kinds
            self.remarks.append(f"{self.path}: {topic} ({name}) is left out: {_words(error)}")
            self._channel_of_connection[number] = -1
            return
        qos = tuple(LATCH) if fields.get("latching") == b"1" else ()
        self._channel_of_connection[number] = len(self.channels)
        self.channels.append(Channel(topic, name, "cdr", definition.encode(), "ros2msg", type_hash, qos))
        self._converters.append(lambda raw: store.ros1_to_cdr(raw, name))

    def _unpack(self, number: int) -> bytes:
        position, size, compression = self._chunks[number]
        self._file.seek(position)
        return _content(self._file.read(size), compression)


_ERRORS = (ValueError, KeyError, IndexError, struct.error, OSError)
"""What wrong bytes raise below."""


def _records(content: bytes | mmap.mmap, position: int) -> Iterator[_Record]:
    """All records from `position` on. ValueError where they do not fit."""
    while position < len(content):
        start, header = _block(content, position)
        data_start, data = _block(content, start + len(header))
        yield _Record(_fields(header), data_start, data)
        position = data_start + len(data)


def _block(content: bytes | mmap.mmap, position: int) -> tuple[int, bytes]:
    """(start, bytes) of what follows its length at `position`."""
    (size,) = struct.unpack_from("<I", content, position)
    if position + 4 + size > len(content):
        raise ValueError(f"at byte {position:,} of {len(content):,} {size:,} bytes should follow")
    return position + 4, content[position + 4 : position + 4 + size]


def _fields(header: bytes) -> dict[str, bytes]:
    found, position = {}, 0
    while position < len(header):
        start, field = _block(header, position)
        name, _, value = field.partition(b"=")
        found[name.decode()] = value
        position = start + len(field)
    return found


def _content(data: bytes, compression: str, size: int | None = None) -> bytes:
    unpacked = bz2.decompress(data) if compression == "bz2" else decompressed(data, compression.removeprefix("none"))
    if size is not None and len(unpacked) != size:
        raise ValueError(f"a chunk has {len(unpacked):,} bytes, expected {size:,}")
    return unpacked


def _ros2_store(definition: str, name: str) -> Typestore:
    """The types of a connection, with the header of ROS 2, which has no sequence number, and its times."""
    known = get_typestore(Stores.ROS2_HUMBLE).fielddefs
    store = get_typestore(Stores.EMPTY)
    store.register({**get_types_from_msg(definition, name), **{each: known[each] for each in _OF_ROS2}})
    return store


def _words(error: Exception) -> str:
    return f"{error} is missing in a record" if isinstance(error, KeyError) else str(error) or type(error).__name__
