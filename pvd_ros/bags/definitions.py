"""The message definition and type hash with which a channel of one bag is copied into another."""

from __future__ import annotations

from dataclasses import replace

from rosbags.typesys import Stores, get_types_from_idl, get_types_from_msg, get_typestore

from pvd_ros.bags.channel import CDR, Channel

_READERS = {
    "ros2msg": lambda text, name: get_types_from_msg(text, name),
    "ros2idl": lambda text, _: get_types_from_idl(text),
    "": lambda _text, _name: {},
}


def completed(channel: Channel) -> Channel:
    """The channel with definition and hash of its type where it lacks them and they can be found.

    Bags written before ROS 2 Iron have no hashes, and sqlite3 bags of that time no definitions either. What cannot be
    found stays empty: messages are copied without.
    """
    if channel.encoding != CDR or channel.definition_encoding not in _READERS:
        return channel
    if channel.definition and channel.type_hash:
        return channel
    try:
        store, name = get_typestore(Stores.ROS2_HUMBLE), channel.message_type
        found = _READERS[channel.definition_encoding](channel.definition.decode(), name)
        store.register({each: fields for each, fields in found.items() if each not in store.fielddefs})
        type_hash = channel.type_hash or store.hash_rihs01(name)
        if channel.definition:
            return replace(channel, type_hash=type_hash)
        text, _ = store.generate_msgdef(name, ros_version=2)
    except Exception:  # a type that nobody here knows, or a definition that rosbags cannot read
        return channel
    return replace(channel, definition=text.encode(), definition_encoding="ros2msg", type_hash=type_hash)
