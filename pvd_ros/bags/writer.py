"""Writing rosbag2, MCAP by default, in the metadata version that Humble and everything newer reads."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.rosbag2.errors import WriterError

from pvd_ros.bags.reader import BagError
from pvd_ros.bags.types import CLOUD, cloud_from_points, cloud_to_bytes, stamp_of, typestore

STORAGES = {"mcap": StoragePlugin.MCAP, "sqlite3": StoragePlugin.SQLITE3}


def write_scans(
    path: Path | str,
    frames: Iterable[tuple[np.ndarray, int]],
    topic: str = "/velodyne_points",
    frame_id: str = "velodyne",
    storage: str = "mcap",
) -> int:
    """Write a bag of PointCloud2 and return how many.

    frames: (points (N, 4) float32 x, y, z in metres, intensity 0..1; stamp in ns), drawn one at a time.
    """
    count = 0
    with BagWriter(path, storage) as bag:
        for points, stamp_ns in frames:
            bag.write_cloud(topic, cloud_from_points(points, stamp_ns, frame_id), stamp_ns)
            count += 1
    return count


class BagWriter:
    """A new bag, as a context manager. Never overwrites; a bag that fails half way is removed again."""

    def __init__(self, path: Path | str, storage: str = "mcap"):
        self.path = Path(path)
        if storage not in STORAGES:
            raise BagError(f"unknown bag storage {storage!r}, expected one of: {', '.join(STORAGES)}")
        if self.path.exists():
            raise BagError(f"{self.path} exists already and is not overwritten; choose another path or remove it")
        # Version 8 keeps the QoS as text, which Humble needs and newer releases still accept.
        self._writer = Writer(self.path, version=8, storage_plugin=STORAGES[storage])
        self._connections = {}

    def __enter__(self) -> BagWriter:
        try:
            self._writer.open()
        except (OSError, WriterError) as error:
            raise BagError(f"cannot create bag {self.path}: {error}; choose a folder you may write to") from error
        return self

    def __exit__(self, exception_type, exception, traceback) -> None:
        is_whole = False
        try:
            with self._failing_clearly():
                self._writer.__exit__(exception_type, exception, traceback)
            is_whole = exception_type is None
        finally:
            # Ctrl-C keeps nothing either: a bag that looks whole and is not would be the worst outcome.
            if not is_whole:
                shutil.rmtree(self.path, ignore_errors=True)

    def write_cloud(self, topic: str, message, log_time_ns: int | None = None) -> None:
        """`message`: a PointCloud2 as rosbags builds it, logged at its own stamp unless told otherwise."""
        self.write_cloud_bytes(
            topic, cloud_to_bytes(message), stamp_of(message) if log_time_ns is None else log_time_ns
        )

    def write_cloud_bytes(self, topic: str, raw: bytes | memoryview, log_time_ns: int) -> None:
        """`raw`: a PointCloud2 serialised as CDR."""
        if topic not in self._connections:
            self._connections[topic] = self._writer.add_connection(topic, CLOUD, typestore=typestore())
        self.write_bytes(topic, raw, log_time_ns)

    def add_topic(self, topic: str, message_type: str, definition: str, type_hash: str, qos=()) -> None:
        """Make room for messages of any type; `definition` and `type_hash` as rosbag2 stores them."""
        self._connections[topic] = self._writer.add_connection(
            topic, message_type, msgdef=definition, rihs01=type_hash, offered_qos_profiles=qos
        )

    def write_bytes(self, topic: str, raw: bytes | memoryview, log_time_ns: int) -> None:
        """A message of a topic added before."""
        with self._failing_clearly():
            self._writer.write(self._connections[topic], log_time_ns, raw)

    @contextlib.contextmanager
    def _failing_clearly(self):
        try:
            yield
        except (OSError, sqlite3.Error, WriterError) as error:
            raise BagError(f"cannot write bag {self.path}: {error}; it is removed; free space and try again") from error
