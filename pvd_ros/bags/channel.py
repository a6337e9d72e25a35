"""What all kinds of bag files have in common: channels, messages, and the error for bags."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

from rosbags.interfaces import Qos

from pvd_core.borders.errors import UserError

CDR = "cdr"


class BagError(UserError):
    """The bag is missing, damaged, or does not hold what was asked for."""


class NoCloudsError(BagError):
    """The bag is sound, and there is no cloud in it to work on."""


@dataclass(frozen=True)
class Channel:
    """Messages of one type on a topic, as a bag describes them.

    message_type: such as sensor_msgs/msg/PointCloud2. encoding: of the messages; "cdr" in ROS 2. definition: of the
    message type, in the language definition_encoding ("ros2msg", "ros2idl", "jsonschema", ...); both empty where the
    bag holds none. type_hash: "" where it is not known.
    """

    topic: str
    message_type: str
    encoding: str = CDR
    definition: bytes = b""
    definition_encoding: str = ""
    type_hash: str = ""
    qos: tuple[Qos, ...] = field(default=(), compare=False)

    @property
    def kind(self) -> tuple[str, str, str]:
        """What messages must have in common to be of one channel: topic, type and encoding."""
        return self.topic, self.message_type, self.encoding

    def described(self) -> str:
        """Topic and type for messages, with the encoding if it is not that of ROS 2."""
        encoding = "" if self.encoding == CDR else f", encoded as {self.encoding or 'nothing known'}"
        return f"{self.topic} ({self.message_type}{encoding})"


class Message(NamedTuple):
    """One message of a bag. sequence: the number that its writer gave it, 0 if the storage has none."""

    channel: Channel
    log_time_ns: int
    raw: bytes
    sequence: int


class BagFile(Protocol):
    """One file of a bag, whose every message was found when it was opened.

    Message i is of channels[channel_of[i]] and was logged at times_ns[i]; the order is that of the file. damage: what
    what was found broken, in plain words. remarks: what the user should know besides. has_checksums: whether changed
    bytes would have been noticed. metadata: {name: {key: value}} that the writer of the file left in it.
    """

    path: Path
    channels: list[Channel]
    channel_of: array[int]
    times_ns: array[int]
    damage: list[str]
    remarks: list[str]
    metadata: dict[str, dict[str, str]]

    @property
    def has_checksums(self) -> bool: ...

    def message(self, number: int) -> tuple[bytes, int]:
        """(bytes, sequence) of a message. BagError if they cannot be read."""

    def close(self) -> None:
        """Closes the file and removes temporary copies."""
