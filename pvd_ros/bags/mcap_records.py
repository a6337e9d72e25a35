"""Records of MCAP files, https://mcap.dev/spec, one by one, so that reading can go on after a damaged one: the fields
of each are read by the library `mcap`, within its bytes."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from io import BytesIO
from zlib import crc32

from mcap.data_stream import ReadDataStream
from mcap.opcode import Opcode
from mcap.records import Channel, Chunk, DataEnd, Footer, McapRecord, Message, Metadata, Schema, Statistics

from pvd_ros.bags.compression import decompressed

PREFIX = struct.Struct("<BQ")
"""Kind and length of the content that follows."""

_LATEST_NS = 2**63 - 1
# Compressed bytes must not be able to ask for any amount of memory.
_LARGEST_CHUNK = 2**32

_READERS: dict[int, Callable[[ReadDataStream], McapRecord]] = {
    Opcode.CHANNEL: Channel.read,
    Opcode.CHUNK: Chunk.read,
    Opcode.DATA_END: DataEnd.read,
    Opcode.FOOTER: Footer.read,
    Opcode.METADATA: Metadata.read,
    Opcode.SCHEMA: Schema.read,
    Opcode.STATISTICS: Statistics.read,
}


class RecordError(Exception):
    """A record does not hold what its kind should."""


class _Fields(ReadDataStream):
    """Of one record. The library takes what it gets for a whole field, also where fewer bytes are left."""

    def __init__(self, content: bytes) -> None:
        super().__init__(BytesIO(content))
        self._size = len(content)

    def read(self, length: int) -> bytes:
        if length > self._size - self.count:
            raise RecordError(f"a field of {length:,} bytes has only {self._size - self.count:,}")
        return super().read(length)


def record_of(kind: int, content: bytes) -> McapRecord | None:
    """The record with that content, or None for kinds that say nothing about messages. RecordError if it has none."""
    stream = _Fields(content)
    try:
        if kind == Opcode.MESSAGE:
            return _message(stream, len(content))
        return _READERS[kind](stream) if kind in _READERS else None
    except UnicodeDecodeError as error:
        raise RecordError(f"a name is no UTF-8: {error}") from error


def records_in(chunk: Chunk) -> Iterator[Schema | Channel | Message]:
    """The records of a chunk, after its size and checksum. RecordError where it is damaged."""
    unpacked = _unpacked(chunk)
    position = 0
    while position < len(unpacked):
        if position + PREFIX.size > len(unpacked):
            raise RecordError("it ends within a record")
        kind, length = PREFIX.unpack_from(unpacked, position)
        position += PREFIX.size
        if position + length > len(unpacked):
            raise RecordError("a record in it is longer than the chunk")
        record = record_of(kind, unpacked[position : position + length])
        if not isinstance(record, (Schema, Channel, Message)):
            raise RecordError(f"it holds a record with the number {kind}")
        yield record
        position += length


def _message(stream: ReadDataStream, length: int) -> Message:
    message = Message.read(stream, length)
    if message.log_time > _LATEST_NS:
        raise RecordError(f"a message has the time {message.log_time}")
    return message


def _unpacked(chunk: Chunk) -> bytes:
    if chunk.uncompressed_size > _LARGEST_CHUNK:
        raise RecordError(f"a chunk of {chunk.uncompressed_size:,} bytes")
    try:
        unpacked = decompressed(chunk.data, chunk.compression)
    except ValueError as error:
        raise RecordError(str(error)) from error
    if len(unpacked) != chunk.uncompressed_size:
        raise RecordError(f"{len(unpacked):,} bytes in a chunk of {chunk.uncompressed_size:,}")
    if chunk.uncompressed_crc and crc32(unpacked) != chunk.uncompressed_crc:
        raise RecordError("its checksum does not match: bytes of it have changed")
    return unpacked
