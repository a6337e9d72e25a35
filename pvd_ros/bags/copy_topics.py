"""The definition and hash under which a topic of an old bag is written into a new one."""

from __future__ import annotations

from rosbags.interfaces import Connection, MessageDefinitionFormat
from rosbags.typesys import Stores, get_types_from_msg, get_typestore


def definition_of(connection: Connection) -> tuple[str, str] | None:
    """(definition, type hash), or None where neither the bag nor rosbags knows the type.

    Bags from before Iron hold definitions without hashes, or (sqlite3) neither.
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
