"""A bag that is open: the messages of all its files in one order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pvd_ros.bags.channel import CDR, BagError, BagFile, Message
from pvd_ros.bags.compression import message_decompressed


class Bag:
    """An open bag. start_ns, end_ns: log times of its first and last message, 0 if there are none. damage, remarks:
    what is broken in it, and what else the user should know, in plain words."""

    def __init__(self, path: Path, files: list[BagFile], damage: list[str], remarks: list[str], salvage: bool) -> None:
        self.path, self._files, self._salvage = path, files, salvage
        self.damage, self.remarks = damage, remarks
        if unchecked := sum(not file.has_checksums for file in files):
            which = path if unchecked == len(files) else f"{path}: {unchecked} of {len(files)} files"
            remarks.append(f"{which} without checksums; bytes that have changed would not be noticed")
        self.channels = list(dict.fromkeys(channel for file in files for channel in file.channels))
        # A stable order: messages of one time stay in that of their files.
        self._times_ns = np.concatenate([np.zeros(0, np.int64), *(np.asarray(file.times_ns) for file in files)])
        self._order = np.argsort(self._times_ns, kind="stable")
        self._first_of_file = np.cumsum([0, *(len(file.times_ns) for file in files)])
        self._channel_of = np.concatenate([np.zeros(0, np.int64), *map(self._channels_of, files)])
        ends = self._times_ns[self._order[[0, -1]]] if len(self._order) else (0, 0)
        self.start_ns, self.end_ns = int(ends[0]), int(ends[1])

    def count(self, topic: str | None = None, start_ns: int | None = None, end_ns: int | None = None) -> int:
        """How many messages `messages` gives for the same arguments."""
        return len(self._chosen(topic, start_ns, end_ns))

    def messages(
        self, topic: str | None = None, start_ns: int | None = None, end_ns: int | None = None
    ) -> Iterator[Message]:
        """Each message of `topic`, or for None of all topics, in the order of their log times. Only those logged at
        start_ns or later, and before end_ns. BagError where the bytes of one cannot be read."""
        chosen = self._chosen(topic, start_ns, end_ns)
        file_of = np.searchsorted(self._first_of_file, chosen, side="right") - 1
        columns = file_of, chosen - self._first_of_file[file_of], self._channel_of[chosen], self._times_ns[chosen]
        for which, number, described, time_ns in zip(*(column.tolist() for column in columns), strict=True):
            channel = self.channels[described]
            try:
                raw, sequence = self._files[which].message(number)
                raw = message_decompressed(raw) if channel.encoding == CDR else raw
            except (BagError, ValueError) as error:
                damage = f"a message of {channel.topic} cannot be read: {error}"
                if not self._salvage:
                    raise BagError(f"{self.path}: {damage}; `--salvage` leaves such messages out") from error
                self.damage.append(damage)
                continue
            yield Message(channel, time_ns, raw, sequence)

    @property
    def metadata(self) -> dict[str, dict[str, str]]:
        """{name: {key: value}} that the writers of its files left in them."""
        return {name: values for file in self._files for name, values in file.metadata.items()}

    def _channels_of(self, file: BagFile) -> np.ndarray:
        position_of = np.array([self.channels.index(channel) for channel in file.channels], np.int64)
        return position_of[np.asarray(file.channel_of)] if len(file.channel_of) else np.zeros(0, np.int64)

    def _chosen(self, topic: str | None, start_ns: int | None, end_ns: int | None) -> np.ndarray:
        """Numbers of messages in their order."""
        order, times_ns = self._order, self._times_ns[self._order]
        is_wanted = np.ones(len(order), bool)
        if topic is not None:
            wanted = [number for number, channel in enumerate(self.channels) if channel.topic == topic]
            is_wanted &= np.isin(self._channel_of[order], wanted)
        if start_ns is not None:
            is_wanted &= times_ns >= start_ns
        if end_ns is not None:
            is_wanted &= times_ns < end_ns
        return order[is_wanted]
