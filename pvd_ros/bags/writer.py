"""Writes rosbag2, MCAP by default, in the metadata version that Humble and all later releases read."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from rosbags.interfaces import Connection, Qos
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.rosbag2.errors import WriterError

from pvd_core.borders.files import held_alone
from pvd_ros.bags.reader import BagError
from pvd_ros.bags.topic_names import check_bag_topic
from pvd_ros.bags.types import cloud_from_points, cloud_to_bytes, typestore
from pvd_ros.codec import CLOUD_TYPE, stamp_of

_log = logging.getLogger(__name__)

STORAGES = {"mcap": StoragePlugin.MCAP, "sqlite3": StoragePlugin.SQLITE3}


def write_scans(
    path: Path | str,
    frames: Iterable[tuple[np.ndarray, int]],
    topic: str = "/velodyne_points",
    frame_id: str = "velodyne",
    storage: str = "mcap",
) -> int:
    """Writes a new bag with a PointCloud2 for each frame and returns their number. Errors as in BagWriter.

    frames: (points float32 (N, 4), x, y, z in metres in the frame `frame_id`, intensity 0..1; stamp in ns); iterated
    over while writing.
    """
    check_bag_topic("topic", topic)
    count = 0
    with BagWriter(path, storage) as bag:
        for points, stamp_ns in frames:
            bag.write_cloud(topic, cloud_from_points(points, stamp_ns, frame_id), stamp_ns)
            count += 1
    return count


class BagWriter:
    """A new bag, as a context manager.

    The bag appears at `path` once it is complete. Until then it is in the folder .NAME.unfinished beside it, which is
    removed if writing fails. If a killed process left such a folder, it is replaced, or with `keeps_leftovers` it is an
    error. BagError for an unknown storage, for a path that exists or cannot be written, and where writing fails.
    """

    def __init__(self, path: Path | str, storage: str = "mcap", keeps_leftovers: bool = False) -> None:
        self.path = Path(path)
        if storage not in STORAGES:
            raise BagError(f"unknown bag storage {storage!r}, expected one of: {', '.join(STORAGES)}")
        if self.path.exists():
            raise BagError(f"{self.path} exists already and is not overwritten; choose another path or remove it")
        self._storage, self._keeps_leftovers = STORAGES[storage], keeps_leftovers
        self._unfinished = self.path.with_name(f".{self.path.name}.unfinished")
        self._connections: dict[str, Connection] = {}

    def __enter__(self) -> BagWriter:
        with contextlib.ExitStack() as held:
            held.enter_context(held_alone(self.path, "writing the bag"))
            try:
                self._remove_leftovers()
                # rosbags names the files of a bag after its folder. Metadata of version 8 have the QoS as text, which
                # Humble needs and later releases accept.
                self._writer = Writer(self._unfinished / self.path.name, version=8, storage_plugin=self._storage)
                self._writer.open()
            except (OSError, WriterError) as error:
                raise BagError(f"cannot create bag {self.path}: {error}; choose a folder you may write to") from error
            self._held = held.pop_all()
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._held:
            try:
                with self._failing_clearly():
                    self._writer.__exit__(exception_type, exception, traceback)
                    if exception_type is None:
                        os.rename(self._unfinished / self.path.name, self.path)
            finally:
                # After Ctrl-C too: nobody shall take an incomplete bag for a complete one.
                shutil.rmtree(self._unfinished, ignore_errors=True)

    def write_cloud(self, topic: str, message: Any, log_time_ns: int | None = None) -> None:
        """Writes a PointCloud2 of rosbags. log_time_ns None: the stamp of the message."""
        self.write_cloud_bytes(
            topic, cloud_to_bytes(message), stamp_of(message) if log_time_ns is None else log_time_ns
        )

    def write_cloud_bytes(self, topic: str, raw: bytes | memoryview, log_time_ns: int) -> None:
        """Writes a PointCloud2 given as CDR."""
        if topic not in self._connections:
            self._connections[topic] = self._writer.add_connection(topic, CLOUD_TYPE, typestore=typestore())
        self.write_bytes(topic, raw, log_time_ns)

    def add_topic(
        self, topic: str, message_type: str, definition: str, type_hash: str, qos: Sequence[Qos] = ()
    ) -> None:
        """Adds a topic of any message type. `definition`, `type_hash` and `qos`: as the bag stores them."""
        self._connections[topic] = self._writer.add_connection(
            topic, message_type, msgdef=definition, rihs01=type_hash, offered_qos_profiles=qos
        )

    def write_bytes(self, topic: str, raw: bytes | memoryview, log_time_ns: int) -> None:
        """Writes a message given as CDR, of a topic that was added before."""
        with self._failing_clearly():
            self._writer.write(self._connections[topic], log_time_ns, raw)

    def _remove_leftovers(self) -> None:
        if not self._unfinished.exists():
            return
        if self._keeps_leftovers:
            raise BagError(
                f"{self._unfinished} holds what a killed process left of {self.path}; save it (`mcap recover`), or "
                "remove it"
            )
        _log.warning("%s: half a bag that a killed process left is replaced", self._unfinished)
        shutil.rmtree(self._unfinished)

    @contextlib.contextmanager
    def _failing_clearly(self) -> Iterator[None]:
        try:
            yield
        except (OSError, sqlite3.Error, WriterError) as error:
            raise BagError(f"cannot write bag {self.path}: {error}; it is removed; free space and try again") from error
