"""The message definition and type hash with which a topic of one bag is copied into another."""

from __future__ import annotations

from rosbags.interfaces import Connection, MessageDefinitionFormat
from rosbags.typesys import Stores, get_types_from_msg, get_typestore


def definition_of(connection: Connection) -> tuple[str, str] | None:
    """(message definition, type hash) of a topic, or None if neither the bag nor rosbags knows the message type.

    Bags written before ROS 2 Iron have no hashes, and sqlite3 bags of that time no definitions either.
    """
    definition = connection.msgdef
    if definition.data and connection.digest:
        return definition.data, connection.digest
    store = get_typestore(Stores.ROS2_HUMBLE)
    if connection.msgtype not in store.fielddefs and definition.format == MessageDefinitionFormat.MSG:
        found = get_types_from_msg(definition.data, connection.msgtype)
        store.register({name: fields for name, fields in found.items() if name not in store.fielddefs})
    if connection.msgtype not in store.fielddefs:
        return None
    text, _ = store.generate_msgdef(connection.msgtype, ros_version=2)
    return text, store.hash_rihs01(connection.msgtype)
