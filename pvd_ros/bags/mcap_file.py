"""Reads MCAP. A file is read whole once, when it is opened: only this shows that it is whole, and no index can lie."""

from __future__ import annotations

import os
from array import array
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

from pvd_core.borders.wording import counted
from pvd_ros.bags.channel import BagError, Channel
from pvd_ros.bags.compression import decompressed
from pvd_ros.bags.mcap_records import (
    ATTACHMENT,
    CHANNEL,
    CHUNK,
    DATA_END,
    FIRST_PRIVATE,
    FOOTER,
    HEADER,
    MAGIC,
    MESSAGE,
    MESSAGE_PREFIX,
    METADATA,
    PREFIX,
    SCHEMA,
    STATISTICS,
    Fields,
    RecordError,
)
from pvd_ros.bags.qos import qos_from_text

_CHUNKS_IN_MEMORY = 4
_LATEST_NS = 2**63 - 1
# Compressed bytes must not be able to ask for any amount of memory.
_LARGEST_CHUNK = 2**32
_NO_CHUNK = -1


class _Chunk(NamedTuple):
    position: int
    """Of its compressed bytes in the file."""
    size: int
    unpacked_size: int
    crc: int
    compression: str


class McapFile:
    """See BagFile."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.channels: list[Channel] = []
        self.times_ns, self.channel_of = array("q"), array("H")
        self.damage: list[str] = []
        self.remarks: list[str] = []
        self.metadata: dict[str, dict[str, str]] = {}
        self._chunks: list[_Chunk] = []
        self._chunk_of, self._offsets, self._sizes, self._sequences = array("l"), array("Q"), array("Q"), array("I")
        self._unpacked = lru_cache(_CHUNKS_IN_MEMORY)(self._unpack)
        # The records as they are, by number: a second copy must be the same.
        self._schemas: dict[int, bytes] = {}
        self._described: dict[int, bytes] = {}
        self._declared_messages: int | None = None
        self._num_unchecked = self._num_private = self._num_attachments = 0
        self._file = path.open("rb")
        try:
            self._scan()
            self._name_channels()
            self._remark()
        except BaseException:
            self._file.close()
            raise

    @property
    def has_checksums(self) -> bool:
        """See BagFile."""
        return not self._num_unchecked

    def message(self, number: int) -> tuple[bytes, int]:
        """See BagFile."""
        offset, size = self._offsets[number], self._sizes[number]
        if self._chunk_of[number] == _NO_CHUNK:
            self._file.seek(offset)
            return self._file.read(size), self._sequences[number]
        return self._unpacked(self._chunk_of[number])[offset : offset + size], self._sequences[number]

    def close(self) -> None:
        """See BagFile."""
        self._file.close()

    def _scan(self) -> None:
        size = os.fstat(self._file.fileno()).st_size
        start = self._file.read(len(MAGIC))
        if start != MAGIC:
            found = "it is empty" if not size else f"it begins with {start!r}, expected {MAGIC!r}"
            raise BagError(f"{self.path} is no MCAP file: {found}; copy it again from where it was recorded")
        crc, position, in_summary = crc32(start), len(MAGIC), False
        while True:
            prefix = self._file.read(PREFIX.size)
            kind, length = PREFIX.unpack(prefix) if len(prefix) == PREFIX.size else (0, 0)
            if len(prefix) < PREFIX.size or position + PREFIX.size + length > size:
                self.damage.append(f"{self.path} is cut or damaged at byte {position:,} of {size:,}")
                return
            content = self._file.read(length)
            try:
                if kind == FOOTER:
                    self._check_summary(content, crc32(content[:-4], crc32(prefix, crc)))
                    self._end(position + PREFIX.size + length, size)
                    return
                if kind == DATA_END:
                    self._check_data(content, crc)
                    in_summary = True
                self._take(kind, content, position + PREFIX.size, in_summary)
            except RecordError as error:
                self.damage.append(f"{self.path}: the record at byte {position:,} is damaged: {error}")
            # The summary, which has a checksum of its own, begins after the end of the data.
            crc = 0 if kind == DATA_END else crc32(content, crc32(prefix, crc))
            position += PREFIX.size + length

    def _take(self, kind: int, content: bytes, position: int, in_summary: bool) -> None:
        if kind == CHUNK:
            self._take_chunk(content, position)
        elif kind == MESSAGE:
            self._num_unchecked += 1
            self._take_message(content, 0, len(content), _NO_CHUNK, position)
        elif kind in (SCHEMA, CHANNEL):
            self._take_description(kind, content)
        elif kind == STATISTICS:
            self._declared_messages = Fields(content).numbers("Q")[0]
        elif kind == METADATA:
            fields = Fields(content)
            name = fields.text()
            self.metadata[name] = fields.mapping()
        elif kind == ATTACHMENT:
            self._num_attachments += 1
        elif kind >= FIRST_PRIVATE:
            self._num_private += 1
        elif not HEADER <= kind <= DATA_END:
            raise RecordError(f"no record has the number {kind}")

    def _take_chunk(self, content: bytes, position: int) -> None:
        fields = Fields(content)
        _, _, unpacked_size, crc = fields.numbers("QQQI")
        compression, (size,) = fields.text(), fields.numbers("Q")
        chunk = _Chunk(position + len(content) - size, size, unpacked_size, crc, compression)
        if size != len(content) - 40 - len(compression.encode()):
            raise RecordError(f"{size} compressed bytes are not what is left of a record of {len(content)}")
        unpacked = _content_of(chunk, fields.take(size))
        number, before = len(self._chunks), len(self.times_ns)
        try:
            self._take_records(unpacked, number)
        except RecordError:
            # A chunk counts whole or not at all.
            for column in self._columns():
                del column[before:]
            raise
        self._chunks.append(chunk)
        self._num_unchecked += not crc

    def _take_records(self, unpacked: bytes, chunk: int) -> None:
        position = 0
        while position < len(unpacked):
            if position + PREFIX.size > len(unpacked):
                raise RecordError("it ends within a record")
            kind, length = PREFIX.unpack_from(unpacked, position)
            position += PREFIX.size
            if position + length > len(unpacked):
                raise RecordError("a record in it is longer than the chunk")
            if kind == MESSAGE:
                self._take_message(unpacked, position, length, chunk, position)
            elif kind in (SCHEMA, CHANNEL):
                self._take_description(kind, unpacked[position : position + length])
            else:
                raise RecordError(f"it holds a record with the number {kind}")
            position += length

    def _take_message(self, content: bytes, start: int, length: int, chunk: int, position: int) -> None:
        if length < MESSAGE_PREFIX.size:
            raise RecordError(f"a message record has {length} bytes, expected at least {MESSAGE_PREFIX.size}")
        channel, sequence, log_time_ns, _ = MESSAGE_PREFIX.unpack_from(content, start)
        if log_time_ns > _LATEST_NS:
            raise RecordError(f"a message has the time {log_time_ns}")
        row = (log_time_ns, channel, chunk, position + MESSAGE_PREFIX.size, length - MESSAGE_PREFIX.size, sequence)
        for column, value in zip(self._columns(), row, strict=True):
            column.append(value)

    def _columns(self) -> tuple[array[int], ...]:
        return self.times_ns, self.channel_of, self._chunk_of, self._offsets, self._sizes, self._sequences

    def _take_description(self, kind: int, content: bytes) -> None:
        (number,) = Fields(content).numbers("H")
        known = self._schemas if kind == SCHEMA else self._described
        if known.setdefault(number, content) != content:
            what = "schema" if kind == SCHEMA else "channel"
            raise RecordError(f"it describes {what} {number} in another way than a record before it")

    def _check_data(self, content: bytes, crc: int) -> None:
        (declared,) = Fields(content).numbers("I")
        if declared and declared != crc and not self.damage:
            self.damage.append(f"{self.path}: the checksum of its data does not match: bytes of it have changed")
        elif declared:
            self._num_unchecked = 0

    def _check_summary(self, content: bytes, crc: int) -> None:
        declared = Fields(content).numbers("QQI")[2]
        if declared and declared != crc and not self.damage:
            self.damage.append(f"{self.path}: the checksum of its summary does not match: bytes of it have changed")

    def _end(self, position: int, size: int) -> None:
        end = self._file.read(len(MAGIC))
        if end != MAGIC:
            raise RecordError("the file does not end after it as it should")
        if position + len(MAGIC) < size:
            self.damage.append(f"{self.path}: {size - position - len(MAGIC):,} bytes follow after its end")
        if not self.damage and self._declared_messages not in (None, len(self.times_ns)):
            self.damage.append(
                f"{self.path} declares {counted(self._declared_messages or 0, 'message')} and holds "
                f"{len(self.times_ns):,}"
            )

    def _name_channels(self) -> None:
        """Turns the numbers of channels in the file into positions in `channels`."""
        position_of: dict[int, int] = {}
        for number, content in self._described.items():
            try:
                channel = self._channel(content)
            except RecordError as error:
                self.damage.append(f"{self.path}: the description of channel {number} is damaged: {error}")
                continue
            position_of[number] = len(self.channels)
            self.channels.append(channel)
        kept = [number for number, channel in enumerate(self.channel_of) if channel in position_of]
        if len(kept) < len(self.channel_of):
            lost = len(self.channel_of) - len(kept)
            self.damage.append(f"{self.path}: {counted(lost, 'message')} on channels that are not described")
            for column in self._columns():
                column[:] = array(column.typecode, (column[number] for number in kept))
        self.channel_of = array("H", (position_of[channel] for channel in self.channel_of))

    def _channel(self, content: bytes) -> Channel:
        fields = Fields(content)
        _, schema = fields.numbers("HH")
        topic, encoding, metadata = fields.text(), fields.text(), fields.mapping()
        name, language, definition = "", "", b""
        if schema:
            if schema not in self._schemas:
                raise RecordError(f"its schema {schema} is missing")
            described = Fields(self._schemas[schema])
            described.numbers("H")
            name, language, definition = described.text(), described.text(), described.block()
        qos = qos_from_text(metadata.get("offered_qos_profiles", ""))
        return Channel(topic, name, encoding, definition, language, metadata.get("topic_type_hash", ""), qos)

    def _remark(self) -> None:
        if self._num_private:
            self.remarks.append(f"{self.path}: {counted(self._num_private, 'record')} of an unknown kind left out")
        if self._num_attachments:
            self.remarks.append(f"{self.path}: {counted(self._num_attachments, 'attachment')} left out")

    def _unpack(self, number: int) -> bytes:
        chunk = self._chunks[number]
        self._file.seek(chunk.position)
        try:
            return _content_of(chunk, self._file.read(chunk.size))
        except RecordError as error:
            raise BagError(f"{self.path} has changed since it was opened: {error}") from error


def _content_of(chunk: _Chunk, packed: bytes) -> bytes:
    if chunk.unpacked_size > _LARGEST_CHUNK:
        raise RecordError(f"a chunk of {chunk.unpacked_size:,} bytes")
    try:
        unpacked = decompressed(packed, chunk.compression)
    except ValueError as error:
        raise RecordError(str(error)) from error
    if len(unpacked) != chunk.unpacked_size:
        raise RecordError(f"{len(unpacked):,} bytes in a chunk of {chunk.unpacked_size:,}")
    if chunk.crc and crc32(unpacked) != chunk.crc:
        raise RecordError("its checksum does not match: bytes of it have changed")
    return unpacked
