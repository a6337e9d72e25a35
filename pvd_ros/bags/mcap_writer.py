"""Writes MCAP with checksums, in chunks that reach the file one by one, so that a killed writer loses little."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mcap.writer import CompressionType, Writer

from pvd_ros.bags.channel import Channel
from pvd_ros.bags.qos import qos_as_text


class McapWriter:
    """A new file. Messages must be of channels that were added before. OSError where writing fails."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("xb")
        self._schemas: dict[tuple[str, str, bytes], int] = {}
        self._writer = Writer(self._file, compression=CompressionType.NONE, enable_data_crcs=True)
        self._writer.start("ros2", "pvd_ros")

    def add_metadata(self, name: str, values: Mapping[str, str]) -> None:
        """Writes a metadata record."""
        self._writer.add_metadata(name, dict(values))
        self._file.flush()

    def add_channel(self, channel: Channel) -> int:
        """Returns the channel's number."""
        schema = channel.message_type, channel.definition_encoding, channel.definition
        if any(schema) and schema not in self._schemas:
            self._schemas[schema] = self._writer.register_schema(*schema)
        facts = {"offered_qos_profiles": qos_as_text(channel.qos)}
        if channel.type_hash:
            facts["topic_type_hash"] = channel.type_hash
        return self._writer.register_channel(channel.topic, channel.encoding, self._schemas.get(schema, 0), facts)

    def write(self, number: int, log_time_ns: int, raw: bytes | memoryview, sequence: int) -> None:
        """Adds a message to the present chunk, which is written when it is full."""
        self._writer.add_message(number, log_time_ns, bytes(raw), log_time_ns, sequence)
        self._file.flush()

    def close(self) -> None:
        """Completes the file."""
        self._writer.finish()
        self._file.close()

    def abort(self) -> None:
        """Closes the file as it is, with all messages so far and without an end."""
        try:
            self._writer.flush()
        finally:
            self._file.close()
