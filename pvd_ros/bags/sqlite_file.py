"""Reads bags in sqlite3 (.db3). Every row is found by its number, so that a damaged index of times loses nothing."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from array import array
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from pvd_core.borders.wording import counted
from pvd_ros.bags.channel import BagError, Channel
from pvd_ros.bags.qos import qos_from_text

_MAGIC = b"SQLite format 3\0"
_WAY_OUT = "copy it again from where it was recorded"
# Files that hold what a killed recorder had not yet brought into the database.
_COMPANIONS = ("-wal", "-journal")
# Of topics, by the version of the schema that brought them.
_LATER_COLUMNS = ("offered_qos_profiles", "type_description_hash")


class SqliteFile:
    """See BagFile."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.channels: list[Channel] = []
        self.times_ns, self.channel_of = array("q"), array("H")
        self._rows = array("q")
        self.damage: list[str] = []
        self.remarks: list[str] = []
        self.has_checksums = False  # sqlite3 has none
        self.metadata: dict[str, dict[str, str]] = {}
        self._held = ExitStack()
        try:
            self._check_size()
            self._database = self._opened()
            self._check_structure()
            self._find_messages(self._find_channels())
            self._find_records()
        except sqlite3.Error as error:
            self.close()
            raise self._nothing_readable(f"cannot be read: {error}") from error
        except BaseException:
            self.close()
            raise

    def message(self, number: int) -> tuple[bytes, int]:
        """See BagFile."""
        try:
            found = self._database.execute(
                "SELECT data FROM messages WHERE rowid = ?", (self._rows[number],)
            ).fetchone()
        except sqlite3.Error as error:
            raise BagError(f"{self.path}: message {number + 1} cannot be read: {error}") from error
        if found is None or not isinstance(found[0], bytes):
            raise BagError(f"{self.path}: message {number + 1} has gone")
        return found[0], 0

    def close(self) -> None:
        """See BagFile."""
        self._held.close()

    def _nothing_readable(self, why: str) -> BagError:
        return BagError(f"{self.damage[0] if self.damage else f'{self.path} {why}'}; {_WAY_OUT}")

    def _check_size(self) -> None:
        with self.path.open("rb") as file:
            start, size = file.read(100), self.path.stat().st_size
        if start[: len(_MAGIC)] != _MAGIC:
            found = "it is empty" if not size else f"it begins with {start[:16]!r}, expected {_MAGIC!r}"
            raise BagError(f"{self.path} is no sqlite3 file: {found}; {_WAY_OUT}")
        page = int.from_bytes(start[16:18], "big")
        declared = int.from_bytes(start[28:32], "big") * (65536 if page == 1 else page)
        if size < declared and not _companions(self.path):
            self.damage.append(f"{self.path} is cut: it has {size:,} of {declared:,} bytes")

    def _opened(self) -> sqlite3.Connection:
        """The database, never changed: what SQLite has to bring into it is brought into a copy."""
        path, options = self.path.resolve(), "?mode=ro&immutable=1"
        if _companions(path):
            path, options = self._copied(path), "?mode=rw"
        database = sqlite3.connect(path.as_uri() + options, uri=True)
        self._held.callback(database.close)
        if self.damage:  # else SQLite gives nothing of a file that is cut
            database.execute("PRAGMA writable_schema=ON")
        # Damaged names shall not end in an error of the decoder.
        database.text_factory = lambda raw: raw.decode(errors="replace")
        return database

    def _copied(self, path: Path) -> Path:
        files = [path, *_companions(path)]
        folder = Path(self._held.enter_context(tempfile.TemporaryDirectory(prefix="pvd_bag_")))
        try:
            before = [_state(file) for file in files]
            for file in files:
                shutil.copyfile(file, folder / file.name)
        except OSError as error:
            raise BagError(
                f"{path} has a write-ahead log and must be copied to be read, but {folder} takes no copy of "
                f"{counted(path.stat().st_size, 'byte')}: {error.strerror or error}; set TMPDIR to a folder with room"
            ) from error
        if before != [_state(file) for file in files]:
            raise BagError(f"{path} is being written; wait until its recorder has ended")
        self.remarks.append(
            f"{path}: what its recorder left in {', '.join(file.name for file in files[1:])} is read too"
        )
        return folder / path.name

    def _check_structure(self) -> None:
        try:
            problems = [row[0] for row in self._database.execute("PRAGMA quick_check(3)") if row[0] != "ok"]
        except sqlite3.DatabaseError as error:
            problems = [str(error)]
        if problems and not self.damage:
            self.damage.append(f"{self.path} is damaged: {' '.join('; '.join(map(str, problems)).split())}")

    def _find_channels(self) -> dict[int, int]:
        """{id of a topic in the database: position in `channels`}"""
        present = {row[1] for row in self._database.execute("PRAGMA table_info(topics)")}
        if not present:
            raise self._nothing_readable("is no bag: its database has no table of topics")
        later = "".join(f", {name}" if name in present else ", ''" for name in _LATER_COLUMNS)
        definitions = self._definitions()
        position_of = {}
        for number, topic, kind, encoding, qos, type_hash in self._database.execute(
            f"SELECT id, name, type, serialization_format{later} FROM topics ORDER BY id"
        ):
            position_of[number] = len(self.channels)
            language, definition = definitions.get(kind, ("", b""))
            described = Channel(str(topic), str(kind), str(encoding), definition, language, str(type_hash or ""))
            self.channels.append(_with_qos(described, qos))
        return position_of

    def _definitions(self) -> dict[str, tuple[str, bytes]]:
        """{message type: (language, definition)}; none in bags from before ROS 2 Iron."""
        if not self._database.execute("PRAGMA table_info(message_definitions)").fetchall():
            return {}
        rows = self._database.execute(
            "SELECT topic_type, encoding, encoded_message_definition FROM message_definitions"
        )
        return {kind: (language, str(text).encode()) for kind, language, text in rows if text and language != "unknown"}

    def _find_messages(self, position_of: dict[int, int]) -> None:
        num_wrong = 0
        rows = self._database.execute(
            "SELECT rowid, topic_id, timestamp, typeof(timestamp), typeof(data) FROM messages NOT INDEXED"
        )
        try:
            for row, topic, time_ns, kind_of_time, kind_of_data in rows:
                if topic not in position_of or (kind_of_time, kind_of_data) != ("integer", "blob"):
                    num_wrong += 1
                    continue
                self._rows.append(row)
                self.times_ns.append(time_ns)
                self.channel_of.append(position_of[topic])
        except sqlite3.DatabaseError as error:
            if not self.damage:
                self.damage.append(f"{self.path} is damaged: {error}")
        if num_wrong:
            self.damage.append(f"{self.path}: {counted(num_wrong, 'row')} without a topic, a time or bytes")

    def _find_records(self) -> None:
        """Only files that SqliteWriter wrote have any."""
        with suppress(sqlite3.Error):  # a damaged one has been said
            for name, key, value in self._database.execute("SELECT name, key, value FROM pvd_records"):
                self.metadata.setdefault(str(name), {})[str(key)] = str(value)


def _with_qos(channel: Channel, text: Any) -> Channel:
    return Channel(**{**vars(channel), "qos": qos_from_text(text)})


def _companions(path: Path) -> list[Path]:
    found = (path.with_name(path.name + ending) for ending in _COMPANIONS)
    return [file for file in found if file.is_file() and file.stat().st_size]


def _state(file: Path) -> tuple[int, int]:
    return file.stat().st_size, file.stat().st_mtime_ns
