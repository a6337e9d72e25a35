"""Reads MCAP. A file is read whole once, when it is opened: only this shows that it is whole, and no index can lie."""

from __future__ import annotations

import os
import struct
from array import array
from functools import lru_cache
from pathlib import Path
from zlib import crc32

from mcap import records
from mcap.opcode import Opcode
from mcap.writer import MCAP0_MAGIC as MAGIC

from pvd_core.borders.wording import counted
from pvd_ros.bags.channel import BagError, Channel
from pvd_ros.bags.mcap_records import PREFIX, RecordError, record_of, records_in
from pvd_ros.bags.qos import qos_from_text

_CHUNKS_IN_MEMORY = 4
_KINDS = frozenset(Opcode)
_FIRST_PRIVATE = 0x80
"""Numbers below that are none of the above belong to no version of the format."""


class McapFile:
    """See BagFile."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.channels: list[Channel] = []
        self.times_ns, self.channel_of = array("q"), array("H")
        self.damage: list[str] = []
        self.remarks: list[str] = []
        self.metadata: dict[str, dict[str, str]] = {}
        # Where the record of a message begins, or of the chunk that it is in, and its number among the messages there.
        self._positions, self._numbers = array("Q"), array("I")
        self._messages_at = lru_cache(_CHUNKS_IN_MEMORY)(self._read_messages)
        # By number: a second description must be the same.
        self._schemas: dict[int, records.Schema] = {}
        self._described: dict[int, records.Channel] = {}
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
        try:
            message = self._messages_at(self._positions[number])[self._numbers[number]]
        except (RecordError, IndexError, struct.error) as error:
            raise BagError(f"{self.path} has changed since it was opened: {error}") from error
        return message.data, message.sequence

    def close(self) -> None:
        """See BagFile."""
        self._file.close()

    def _scan(self) -> None:
        size = self._size = os.fstat(self._file.fileno()).st_size
        start = self._file.read(len(MAGIC))
        if start != MAGIC:
            found = "it is empty" if not size else f"it begins with {start!r}, expected {MAGIC!r}"
            raise BagError(f"{self.path} is no MCAP file: {found}; copy it again from where it was recorded")
        crc, position = crc32(start), len(MAGIC)
        while True:
            prefix = self._file.read(PREFIX.size)
            kind, length = PREFIX.unpack(prefix) if len(prefix) == PREFIX.size else (0, 0)
            if len(prefix) < PREFIX.size or position + PREFIX.size + length > size:
                self.damage.append(f"{self.path} is cut or damaged at byte {position:,} of {size:,}")
                return
            content = self._file.read(length)
            try:
                record = record_of(kind, content)
                if isinstance(record, records.Footer):
                    self._check("summary", record.summary_crc, crc32(content[:-4], crc32(prefix, crc)))
                    self._end(position + PREFIX.size + length, size)
                    return
                if isinstance(record, records.DataEnd):
                    self._check("data", record.data_section_crc, crc)
                    self._num_unchecked *= not record.data_section_crc
                self._take(kind, record, position)
            except RecordError as error:
                self.damage.append(f"{self.path}: the record at byte {position:,} is damaged: {error}")
            # The summary, which has a checksum of its own, begins after the end of the data.
            crc = 0 if kind == Opcode.DATA_END else crc32(content, crc32(prefix, crc))
            position += PREFIX.size + length

    def _take(self, kind: int, record: records.McapRecord | None, position: int) -> None:
        if isinstance(record, records.Chunk):
            self._take_chunk(record, position)
        elif isinstance(record, records.Message):
            self._num_unchecked += 1
            self._take_message(record, position, 0)
        elif isinstance(record, (records.Schema, records.Channel)):
            self._take_description(record)
        elif isinstance(record, records.Statistics):
            self._declared_messages = record.message_count
        elif isinstance(record, records.Metadata):
            self.metadata[record.name] = record.metadata
        elif kind >= _FIRST_PRIVATE:
            self._num_private += 1
        elif kind not in _KINDS:
            raise RecordError(f"no record has the number {kind}")
        self._num_attachments += kind == Opcode.ATTACHMENT

    def _take_chunk(self, chunk: records.Chunk, position: int) -> None:
        before = len(self.times_ns)
        try:
            for record in records_in(chunk):
                if isinstance(record, records.Message):
                    self._take_message(record, position, len(self.times_ns) - before)
                else:
                    self._take_description(record)
        except RecordError:
            # A chunk counts whole or not at all.
            for column in self._columns():
                del column[before:]
            raise
        self._num_unchecked += not chunk.uncompressed_crc

    def _take_message(self, message: records.Message, position: int, number: int) -> None:
        row = message.log_time, message.channel_id, position, number
        for column, value in zip(self._columns(), row, strict=True):
            column.append(value)

    def _columns(self) -> tuple[array[int], ...]:
        return self.times_ns, self.channel_of, self._positions, self._numbers

    def _take_description(self, record: records.Schema | records.Channel) -> None:
        first: records.Schema | records.Channel
        if isinstance(record, records.Schema):
            what, first = "schema", self._schemas.setdefault(record.id, record)
        else:
            what, first = "channel", self._described.setdefault(record.id, record)
        if record != first:
            raise RecordError(f"it describes {what} {record.id} in another way than a record before it")

    def _check(self, what: str, declared: int, found: int) -> None:
        """Of earlier damage a wrong checksum says nothing new. 0 stands for none."""
        if declared and declared != found and not self.damage:
            self.damage.append(f"{self.path}: the checksum of its {what} does not match: bytes of it have changed")

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
        for number, described in self._described.items():
            if described.schema_id and described.schema_id not in self._schemas:
                missing = f"its schema {described.schema_id} is missing"
                self.damage.append(f"{self.path}: the description of channel {number} is damaged: {missing}")
                continue
            position_of[number] = len(self.channels)
            self.channels.append(self._channel(described))
        kept = [number for number, channel in enumerate(self.channel_of) if channel in position_of]
        if len(kept) < len(self.channel_of):
            lost = len(self.channel_of) - len(kept)
            self.damage.append(f"{self.path}: {counted(lost, 'message')} on channels that are not described")
            for column in self._columns():
                column[:] = array(column.typecode, (column[number] for number in kept))
        self.channel_of = array("H", (position_of[channel] for channel in self.channel_of))

    def _channel(self, described: records.Channel) -> Channel:
        schema = self._schemas.get(described.schema_id) or records.Schema(0, b"", "", "")
        facts = described.metadata
        return Channel(
            described.topic,
            schema.name,
            described.message_encoding,
            schema.data,
            schema.encoding,
            facts.get("topic_type_hash", ""),
            qos_from_text(facts.get("offered_qos_profiles", "")),
        )

    def _remark(self) -> None:
        if self._num_private:
            self.remarks.append(f"{self.path}: {counted(self._num_private, 'record')} of an unknown kind left out")
        if self._num_attachments:
            self.remarks.append(f"{self.path}: {counted(self._num_attachments, 'attachment')} left out")

    def _read_messages(self, position: int) -> list[records.Message]:
        self._file.seek(position)
        kind, length = PREFIX.unpack(self._file.read(PREFIX.size))
        record = record_of(kind, self._file.read(min(length, self._size)))
        inside = records_in(record) if isinstance(record, records.Chunk) else [record]
        return [each for each in inside if isinstance(each, records.Message)]
