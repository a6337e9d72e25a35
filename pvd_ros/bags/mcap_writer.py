"""Writes MCAP with checksums, in chunks that reach the file one by one, so that a killed writer loses little."""

from __future__ import annotations

import struct
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from zlib import crc32

from pvd_ros.bags.channel import Channel
from pvd_ros.bags.mcap_records import (
    CHANNEL,
    CHUNK,
    CHUNK_INDEX,
    DATA_END,
    FOOTER,
    HEADER,
    MAGIC,
    MESSAGE,
    MESSAGE_INDEX,
    MESSAGE_PREFIX,
    METADATA,
    METADATA_INDEX,
    SCHEMA,
    STATISTICS,
    SUMMARY_OFFSET,
    block,
    mapping,
    record,
    text,
)
from pvd_ros.bags.qos import qos_as_text

_CHUNK_BYTES = 2**20
_NEVER_NS = 2**63 - 1


class McapWriter:
    """A new file. Messages must be of channels that were added before. OSError where writing fails."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("xb")
        self._crc = self._position = 0
        self._schemas: dict[tuple[str, str, bytes], int] = {}
        self._summary: dict[int, list[bytes]] = defaultdict(list)
        self._counts: Counter[int] = Counter()
        self._span = [_NEVER_NS, 0]
        self._start_chunk()
        self._write(MAGIC + record(HEADER, text("ros2"), text("pvd_ros")))

    def add_metadata(self, name: str, values: Mapping[str, str]) -> None:
        """Writes a metadata record."""
        start = self._position
        self._write(record(METADATA, text(name), mapping(values)))
        self._file.flush()
        index = struct.pack("<QQ", start, self._position - start)
        self._summary[METADATA_INDEX].append(record(METADATA_INDEX, index, text(name)))

    def add_channel(self, channel: Channel) -> int:
        """Returns the channel's number."""
        schema = channel.message_type, channel.definition_encoding, channel.definition
        if not any(schema):
            schema_id = 0
        elif (schema_id := self._schemas.get(schema, 0)) == 0:
            schema_id = self._schemas[schema] = len(self._schemas) + 1
            name, language, definition = schema
            self._describe(SCHEMA, struct.pack("<H", schema_id), text(name), text(language), block(definition))
        number = len(self._counts) + 1
        self._counts[number] = 0
        facts = {"offered_qos_profiles": qos_as_text(channel.qos)}
        if channel.type_hash:
            facts["topic_type_hash"] = channel.type_hash
        numbers = struct.pack("<HH", number, schema_id)
        self._describe(CHANNEL, numbers, text(channel.topic), text(channel.encoding), mapping(facts))
        return number

    def write(self, number: int, log_time_ns: int, raw: bytes | memoryview, sequence: int) -> None:
        """Adds a message to the present chunk, which is written when it is full."""
        self._index[number].append((log_time_ns, len(self._chunk)))
        prefix = MESSAGE_PREFIX.pack(number, sequence, log_time_ns, log_time_ns)
        self._chunk += record(MESSAGE, prefix, raw)
        self._counts[number] += 1
        for span in (self._span, self._chunk_span):
            span[:] = min(span[0], log_time_ns), max(span[1], log_time_ns)
        if len(self._chunk) > _CHUNK_BYTES:
            self._end_chunk()

    def close(self) -> None:
        """Completes the file."""
        if self._chunk:
            self._end_chunk()
        # Of all before it, this record not included.
        self._write(record(DATA_END, struct.pack("<I", self._crc)))
        num_metadata, num_chunks = len(self._summary[METADATA_INDEX]), len(self._summary[CHUNK_INDEX])
        span = self._span if sum(self._counts.values()) else (0, 0)
        numbers = struct.pack(
            "<QHIIIIQQ",
            sum(self._counts.values()),
            len(self._schemas),
            len(self._counts),
            0,
            num_metadata,
            num_chunks,
            *span,
        )
        counts = b"".join(struct.pack("<HQ", *each) for each in sorted(self._counts.items()))
        self._summary[STATISTICS].append(record(STATISTICS, numbers, block(counts)))
        start, groups = self._position, []
        self._crc = 0
        for kind in (SCHEMA, CHANNEL, CHUNK_INDEX, METADATA_INDEX, STATISTICS):
            if self._summary[kind]:
                group = b"".join(self._summary[kind])
                groups.append(record(SUMMARY_OFFSET, struct.pack("<BQQ", kind, self._position, len(group))))
                self._write(group)
        offsets = self._position
        self._write(b"".join(groups))
        # The checksum of the summary includes the footer up to the checksum itself.
        footer = struct.pack("<BQQQ", FOOTER, 20, start, offsets)
        self._write(footer + struct.pack("<I", crc32(footer, self._crc)) + MAGIC)
        self._file.close()

    def abort(self) -> None:
        """Closes the file as it is, with all messages so far and without an end."""
        try:
            if self._chunk:
                self._end_chunk()
        finally:
            self._file.close()

    def _start_chunk(self) -> None:
        self._chunk = bytearray()
        self._chunk_span = [_NEVER_NS, 0]
        self._index: dict[int, list[tuple[int, int]]] = defaultdict(list)

    def _end_chunk(self) -> None:
        start, span = self._position, self._chunk_span if self._index else [0, 0]
        facts = struct.pack("<QQQI", *span, len(self._chunk), crc32(self._chunk))
        self._write(record(CHUNK, facts, text(""), struct.pack("<Q", len(self._chunk)), self._chunk))
        end, offsets = self._position, []
        for number, rows in self._index.items():
            offsets.append(struct.pack("<HQ", number, self._position))
            packed = b"".join(struct.pack("<QQ", *row) for row in rows)
            self._write(record(MESSAGE_INDEX, struct.pack("<H", number), block(packed)))
        places = struct.pack("<QQQQ", *span, start, end - start) + block(b"".join(offsets))
        sizes = struct.pack("<Q", self._position - end) + text("") + struct.pack("<QQ", *[len(self._chunk)] * 2)
        self._summary[CHUNK_INDEX].append(record(CHUNK_INDEX, places, sizes))
        self._file.flush()
        self._start_chunk()

    def _describe(self, kind: int, *parts: bytes) -> None:
        described = record(kind, *parts)
        self._chunk += described
        self._summary[kind].append(described)

    def _write(self, content: bytes) -> None:
        self._file.write(content)
        self._crc = crc32(content, self._crc)
        self._position += len(content)
