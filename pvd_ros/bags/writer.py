"""Writes rosbag2, MCAP by default, in the metadata version that Humble and all later releases read."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from pvd_core.borders.files import held_alone
from pvd_ros.bags.channel import BagError, Channel
from pvd_ros.bags.definitions import completed
from pvd_ros.bags.folder import INFORMATION, METADATA
from pvd_ros.bags.mcap_writer import McapWriter
from pvd_ros.bags.metadata import as_yaml, metadata_of
from pvd_ros.bags.sqlite_writer import SqliteWriter
from pvd_ros.bags.topic_names import check_bag_topic
from pvd_ros.bags.types import cloud_from_points, cloud_to_bytes
from pvd_ros.codec import CLOUD_TYPE, stamp_of

_log = logging.getLogger(__name__)

STORAGES: dict[str, tuple[str, Callable[[Path], McapWriter | SqliteWriter]]] = {
    "mcap": (".mcap", McapWriter),
    "sqlite3": (".db3", SqliteWriter),
}
"""{storage: (suffix of its files, writer)}"""

_REMOVED = "it is removed; free space and try again"
LEFTOVERS = ("replace", "refuse", "set aside")


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
    removed if writing fails. leftovers: what happens if a killed process left such a folder; "replace" removes it,
    "refuse" is an error, "set aside" keeps it in .NAME.earlier until the new bag is complete. overwrite: a bag at
    `path` is replaced once the new one is complete. keeps_interrupted: Ctrl-C leaves the folder, as a kill would; so
    does a write of MCAP that failed, as on a full disk.
    BagError for an unknown storage, for a path that exists or cannot be written, and where writing fails.
    """

    def __init__(
        self,
        path: Path | str,
        storage: str = "mcap",
        leftovers: str = "replace",
        *,
        overwrite: bool = False,
        keeps_interrupted: bool = False,
    ) -> None:
        self.path = Path(path)
        if storage not in STORAGES:
            raise BagError(f"unknown bag storage {storage!r}, expected one of: {', '.join(STORAGES)}")
        assert leftovers in LEFTOVERS
        check_free(self.path, overwrite)
        self._storage, self._leftovers, self._overwrites = storage, leftovers, overwrite
        self._keeps_interrupted, self._has_failed_midway = keeps_interrupted, False
        self._unfinished, self._set_aside = leftovers_of(self.path)
        self._replaced = self.path.with_name(f".{self.path.name}.replaced")
        # `ros2 bag reindex` takes files by these names only.
        self._name = f"{self.path.name}_0{STORAGES[storage][0]}"
        self._numbers: dict[tuple[str, str, str], int] = {}
        self._channels: list[Channel] = []
        self._counts: Counter[int] = Counter()
        self._times_ns: list[int] = []

    @property
    def earlier(self) -> Path | None:
        """What was set aside: the file of a killed process, or None."""
        return next(iter(_files_in(self._set_aside / self.path.name)), None)

    def __enter__(self) -> BagWriter:
        with contextlib.ExitStack() as held:
            held.enter_context(held_alone(self.path, "writing the bag"))
            try:
                self._handle_leftovers()
                folder = self._unfinished / self.path.name
                folder.mkdir(parents=True)
                self._writer = STORAGES[self._storage][1](folder / self._name)
            except (OSError, sqlite3.Error) as error:
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
            is_interrupted = exception_type is not None and not issubclass(exception_type, Exception)
            try:
                with self._failing_clearly():
                    if exception_type is None:
                        self._complete()
                    else:
                        self._writer.abort()
            finally:
                # Nobody shall take an incomplete bag for a complete one.
                if not (self._keeps_interrupted and (is_interrupted or self._has_failed_midway)):
                    shutil.rmtree(self._unfinished, ignore_errors=True)

    def add_metadata(self, name: str, values: Mapping[str, str]) -> None:
        """Leaves facts in the file: a metadata record of MCAP, rows of a table of sqlite3."""
        with self._failing_clearly():
            self._writer.add_metadata(name, values)

    def add_channel(self, channel: Channel) -> None:
        """Adds a channel, which has no effect if there is one of the same topic, type and encoding."""
        if channel.kind in self._numbers:
            return
        channel = completed(channel)
        with self._failing_clearly():
            self._numbers[channel.kind] = self._writer.add_channel(channel)
        self._channels.append(channel)

    def write_cloud(self, topic: str, message: Any, log_time_ns: int | None = None) -> None:
        """Writes a PointCloud2 of rosbags. log_time_ns None: the stamp of the message."""
        self.write_cloud_bytes(
            topic, cloud_to_bytes(message), stamp_of(message) if log_time_ns is None else log_time_ns
        )

    def write_cloud_bytes(self, topic: str, raw: bytes | memoryview, log_time_ns: int, sequence: int = 0) -> None:
        """Writes a PointCloud2 given as CDR."""
        self.write(Channel(topic, CLOUD_TYPE), raw, log_time_ns, sequence)

    def write(self, channel: Channel, raw: bytes | memoryview, log_time_ns: int, sequence: int = 0) -> None:
        """Writes a message, in the encoding of its channel, which is added if it is new."""
        self.add_channel(channel)
        number = self._numbers[channel.kind]
        with self._failing_clearly():
            self._writer.write(number, log_time_ns, raw, sequence)
        self._counts[number] += 1
        self._times_ns = [min([*self._times_ns[:1], log_time_ns]), max([*self._times_ns[1:], log_time_ns])]

    def _handle_leftovers(self) -> None:
        present = [folder for folder in (self._unfinished, self._set_aside) if folder.exists()]
        if present and self._leftovers == "refuse":
            raise BagError(
                f"{present[0]} holds what a killed process left of {self.path}; the file in it can be read with "
                "`--salvage`; move it away or remove it"
            )
        if self._leftovers == "set aside":
            self._keep_the_longer()
        elif present:
            _log.warning("%s: half a bag that a killed process left is replaced", present[0])
            for folder in present:
                shutil.rmtree(folder)

    def _keep_the_longer(self) -> None:
        """Of two killed processes the second one may not have come as far as the first."""
        sizes = [
            sum(file.stat().st_size for file in _files_in(folder / self.path.name))
            for folder in (self._unfinished, self._set_aside)
        ]
        if sizes[0] > sizes[1]:
            shutil.rmtree(self._set_aside, ignore_errors=True)
            self._unfinished.rename(self._set_aside)
        shutil.rmtree(self._unfinished, ignore_errors=True)

    def _complete(self) -> None:
        counts = [(channel, self._counts[self._numbers[channel.kind]]) for channel in self._channels]
        facts = metadata_of(self._storage, self._name, counts, *(self._times_ns or (0, 0)))
        self._writer.add_metadata("rosbag2", {"serialized_metadata": as_yaml(facts)})
        self._writer.close()
        folder = self._unfinished / self.path.name
        (folder / METADATA).write_text(as_yaml({INFORMATION: facts}), encoding="utf-8")
        if self._overwrites and self.path.exists():
            shutil.rmtree(self._replaced, ignore_errors=True)
            self.path.rename(self._replaced)
        os.rename(folder, self.path)
        for old in (self._set_aside, self._replaced):
            shutil.rmtree(old, ignore_errors=True)

    @contextlib.contextmanager
    def _failing_clearly(self) -> Iterator[None]:
        try:
            yield
        except (OSError, sqlite3.Error) as error:
            # A file of sqlite3 that was cut holds nothing that can be read.
            self._has_failed_midway = self._storage == "mcap" and bool(self._times_ns)
            is_kept = self._keeps_interrupted and self._has_failed_midway
            rest = "the part written is kept; free space and go on with --resume" if is_kept else _REMOVED
            raise BagError(f"cannot write bag {self.path}: {error}; {rest}") from error


def leftovers_of(path: Path) -> tuple[Path, Path]:
    """The folders beside the bag `path` in which a killed process leaves what it has written, and in which that is kept
    while the bag is written anew."""
    return path.with_name(f".{path.name}.unfinished"), path.with_name(f".{path.name}.earlier")


def check_free(path: Path, overwrite: bool, remedy: str = "choose another path or remove it") -> None:
    """BagError, which ends with `remedy`, if something is at `path`; with `overwrite` only if it is no bag."""
    if not path.exists():
        return
    if not overwrite:
        raise BagError(f"{path} exists already and is not overwritten; {remedy}")
    if not (path / METADATA).is_file():
        raise BagError(
            f"{path} is no folder of a bag (it has no {METADATA}) and is not overwritten; choose another path"
        )


def _files_in(folder: Path) -> list[Path]:
    """The files with messages in the folder of a bag, of any storage."""
    suffixes = [suffix for suffix, _ in STORAGES.values()]
    return sorted(file for file in folder.glob("*") if file.suffix in suffixes)
