"""What metadata.yaml says of a bag, in version 8: Humble and all later releases read it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from pvd_ros.bags.channel import Channel
from pvd_ros.bags.qos import qos_as_text


def metadata_of(
    storage: str, file_name: str, counts: Sequence[tuple[Channel, int]], start_ns: int, end_ns: int
) -> dict[str, Any]:
    """Of a bag of one file. counts: messages of each channel; start_ns, end_ns: log times of the first and the last."""

    def span() -> dict[str, Any]:
        return {
            "duration": {"nanoseconds": end_ns - start_ns},
            "starting_time": {"nanoseconds_since_epoch": start_ns},
            "message_count": sum(count for _, count in counts),
        }

    return {
        "version": 8,
        "storage_identifier": storage,
        "relative_file_paths": [file_name],
        **span(),
        "topics_with_message_count": [{"topic_metadata": _topic(c), "message_count": count} for c, count in counts],
        "compression_format": "",
        "compression_mode": "",
        "files": [{"path": file_name, **span()}],
        "custom_data": None,
        "ros_distro": "rosbags",
    }


def as_yaml(facts: Mapping[str, Any]) -> str:
    """The text of a file."""
    return yaml.safe_dump(dict(facts), sort_keys=False)


def _topic(channel: Channel) -> dict[str, str]:
    return {
        "name": channel.topic,
        "type": channel.message_type,
        "serialization_format": channel.encoding,
        "offered_qos_profiles": qos_as_text(channel.qos),
        "type_description_hash": channel.type_hash,
    }
