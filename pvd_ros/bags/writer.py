"""Writing rosbag2, MCAP by default, in the metadata version that Humble and everything newer reads."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import sqlite3
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.rosbag2.errors import WriterError

from pvd_core.borders.files import held_alone
from pvd_ros.bags.reader import BagError
from pvd_ros.bags.topic_names import check_bag_topic
from pvd_ros.bags.types import CLOUD, cloud_from_points, cloud_to_bytes, stamp_of, typestore

_log = logging.getLogger(__name__)

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
    check_bag_topic("topic", topic)
    count = 0
    with BagWriter(path, storage) as bag:
        for points, stamp_ns in frames:
            bag.write_cloud(topic, cloud_from_points(points, stamp_ns, frame_id), stamp_ns)
            count += 1
    return count


class BagWriter:
    """A new bag, as a context manager. Never overwrites.

    The bag appears when it is whole. Until then it lies in the folder .NAME.unfinished beside it, which is removed when
    writing fails. What a killed process left there is replaced, or refused where it `keeps_leftovers`.
    """

    def __init__(self, path: Path | str, storage: str = "mcap", keeps_leftovers: bool = False):
        self.path = Path(path)
        if storage not in STORAGES:
            raise BagError(f"unknown bag storage {storage!r}, expected one of: {', '.join(STORAGES)}")
        if self.path.exists():
            raise BagError(f"{self.path} exists already and is not overwritten; choose another path or remove it")
        self._storage, self._keeps_leftovers = STORAGES[storage], keeps_leftovers
        self._unfinished = self.path.with_name(f".{self.path.name}.unfinished")
        self._connections = {}

    def __enter__(self) -> BagWriter:
        with contextlib.ExitStack() as held:
            held.enter_context(held_alone(self.path, "writing the bag"))
            try:
                self._remove_leftovers()
                # The files of a bag are called as its folder. Version 8 keeps the QoS as text, which Humble needs and
                # newer releases still accept.
                self._writer = Writer(self._unfinished / self.path.name, version=8, storage_plugin=self._storage)
                self._writer.open()
            except (OSError, WriterError) as error:
                raise BagError(f"cannot create bag {self.path}: {error}; choose a folder you may write to") from error
            self._held = held.pop_all()
        return self

    def __exit__(self, exception_type, exception, traceback) -> None:
        with self._held:
            try:
                with self._failing_clearly():
                    self._writer.__exit__(exception_type, exception, traceback)
                    if exception_type is None:
                        os.rename(self._unfinished / self.path.name, self.path)
            finally:
                # Ctrl-C keeps nothing either: a bag that looks whole and is not would be the worst outcome.
                shutil.rmtree(self._unfinished, ignore_errors=True)

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
    def _failing_clearly(self):
        try:
            yield
        except (OSError, sqlite3.Error, WriterError) as error:
            raise BagError(f"cannot write bag {self.path}: {error}; it is removed; free space and try again") from error
