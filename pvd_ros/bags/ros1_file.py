"""Reads bags of ROS 1 (.bag): their messages as ROS 2 has them."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from pathlib import Path

from rosbags.convert.converter import LATCH
from rosbags.interfaces import Connection, ConnectionExtRosbag1
from rosbags.rosbag1 import Reader
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from pvd_ros.bags.channel import BagError, Channel

_OF_ROS2 = ("std_msgs/msg/Header", "builtin_interfaces/msg/Time", "builtin_interfaces/msg/Duration")


class Ros1File:
    """See BagFile. A topic whose messages ROS 2 cannot have is left out, with a remark."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.channels: list[Channel] = []
        self.times_ns, self.channel_of = array("q"), array("H")
        self.damage: list[str] = []
        self.remarks: list[str] = []
        self.has_checksums = False
        self.metadata: dict[str, dict[str, str]] = {}
        self._reader = Reader(path)
        self._converters: dict[int, tuple[int, Callable[[bytes], memoryview]]] = {}
        self._cursor: Iterator[tuple[Connection, int, bytes]] = iter(())
        self._next = 0
        try:
            self._reader.open()
            for connection in self._reader.connections:
                self._add(connection)
        except Exception as error:  # of a damaged file; rosbags raises many kinds
            raise BagError(
                f"{path} is a bag of ROS 1 that cannot be read: {error or type(error).__name__}; copy it again, or "
                "let `rosbag reindex` of ROS 1 mend it where its recorder was killed"
            ) from error
        self._find_messages()

    def message(self, number: int) -> tuple[bytes, int]:
        """See BagFile."""
        if number < self._next or not self._next:
            self._cursor, self._next = self._messages(), 0
        for connection, _, raw in self._cursor:
            self._next += 1
            if self._next > number:
                try:
                    return bytes(self._converters[connection.id][1](raw)), 0
                except Exception as error:  # bytes of anything else; rosbags raises many kinds
                    raise BagError(f"{self.path}: message {number + 1} is no {connection.msgtype}: {error}") from error
        raise BagError(f"{self.path} has changed since it was opened")

    def close(self) -> None:
        """See BagFile."""
        if self._reader.bio:
            self._reader.close()

    def _messages(self) -> Iterator[tuple[Connection, int, bytes]]:
        wanted = [connection for connection in self._reader.connections if connection.id in self._converters]
        return self._reader.messages(wanted) if wanted else iter(())

    def _find_messages(self) -> None:
        try:
            for connection, time_ns, _ in self._messages():
                self.times_ns.append(time_ns)
                self.channel_of.append(self._converters[connection.id][0])
        except Exception as error:  # of a damaged chunk
            self.damage.append(f"{self.path} is damaged: {error or type(error).__name__}")

    def _add(self, connection: Connection) -> None:
        try:
            store = _ros2_store(connection)
            definition, _ = store.generate_msgdef(connection.msgtype, ros_version=2)
            type_hash = store.hash_rihs01(connection.msgtype)
        except Exception as error:  # of a definition that ROS 2 does not take
            self.remarks.append(f"{connection.topic} ({connection.msgtype}) is left out: {error}")
            return
        latches = isinstance(connection.ext, ConnectionExtRosbag1) and connection.ext.latching
        name = connection.msgtype

        def converter(raw: bytes) -> memoryview:
            return store.ros1_to_cdr(raw, name)

        self._converters[connection.id] = len(self.channels), converter
        qos = tuple(LATCH) if latches else ()
        self.channels.append(Channel(connection.topic, name, "cdr", definition.encode(), "ros2msg", type_hash, qos))


def _ros2_store(connection: Connection) -> Typestore:
    """The types of a connection, with the header of ROS 2, which has no sequence number, and its times."""
    known = get_typestore(Stores.ROS2_HUMBLE).fielddefs
    types = get_types_from_msg(connection.msgdef.data, connection.msgtype)
    store = get_typestore(Stores.EMPTY)
    store.register({**types, **{name: known[name] for name in _OF_ROS2}})
    return store
