"""Writes bags in sqlite3 (.db3), with the tables of ROS 2 Iron, which all releases read, and one more of records."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from pathlib import Path

from pvd_ros.bags.channel import Channel
from pvd_ros.bags.qos import qos_as_text

_TABLES = """
CREATE TABLE schema(schema_version INTEGER PRIMARY KEY, ros_distro TEXT NOT NULL);
CREATE TABLE metadata(id INTEGER PRIMARY KEY, metadata_version INTEGER NOT NULL, metadata TEXT NOT NULL);
CREATE TABLE topics(id INTEGER PRIMARY KEY, name TEXT NOT NULL, type TEXT NOT NULL, serialization_format TEXT NOT NULL,
    offered_qos_profiles TEXT NOT NULL, type_description_hash TEXT NOT NULL);
CREATE TABLE message_definitions(id INTEGER PRIMARY KEY, topic_type TEXT NOT NULL, encoding TEXT NOT NULL,
    encoded_message_definition TEXT NOT NULL, type_description_hash TEXT NOT NULL);
CREATE TABLE messages(id INTEGER PRIMARY KEY, topic_id INTEGER NOT NULL, timestamp INTEGER NOT NULL,
    data BLOB NOT NULL);
CREATE TABLE pvd_records(name TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL);
CREATE INDEX timestamp_idx ON messages (timestamp ASC);
INSERT INTO schema(schema_version, ros_distro) VALUES (4, 'rosbags');
"""


class SqliteWriter:
    """A new file. Messages must be of channels that were added before. sqlite3.Error where writing fails."""

    def __init__(self, path: Path) -> None:
        path.open("xb").close()
        self._database = sqlite3.connect(path)
        self._database.executescript(_TABLES)
        self._num_topics = 0
        self._described: set[str] = set()

    def add_metadata(self, name: str, values: Mapping[str, str]) -> None:
        """Adds a record; what ROS 2 calls the metadata of the bag goes where it looks for that."""
        if name == "rosbag2":
            row = (8, values["serialized_metadata"])
            self._database.execute("INSERT INTO metadata(metadata_version, metadata) VALUES(?, ?)", row)
        else:
            rows = [(name, *pair) for pair in values.items()]
            self._database.executemany("INSERT INTO pvd_records VALUES(?, ?, ?)", rows)

    def add_channel(self, channel: Channel) -> int:
        """Returns the channel's number."""
        self._num_topics += 1
        row = (self._num_topics, *channel.kind, qos_as_text(channel.qos), channel.type_hash)
        self._database.execute("INSERT INTO topics VALUES(?, ?, ?, ?, ?, ?)", row)
        if channel.definition_encoding in ("ros2msg", "ros2idl") and channel.message_type not in self._described:
            self._described.add(channel.message_type)
            text = channel.definition.decode(errors="replace")
            self._database.execute(
                "INSERT INTO message_definitions (topic_type, encoding, encoded_message_definition, "
                "type_description_hash) VALUES(?, ?, ?, ?)",
                (channel.message_type, channel.definition_encoding, text, channel.type_hash),
            )
        return self._num_topics

    def write(self, number: int, log_time_ns: int, raw: bytes | memoryview, _sequence: int) -> None:
        """Adds a message."""
        row = number, log_time_ns, raw
        self._database.execute("INSERT INTO messages (topic_id, timestamp, data) VALUES(?, ?, ?)", row)

    def close(self) -> None:
        """Completes the file."""
        self._database.commit()
        self._database.close()

    def abort(self) -> None:
        """Closes the file; messages are lost."""
        self._database.close()
