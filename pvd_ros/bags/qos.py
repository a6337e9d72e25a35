"""Quality of service of a topic, as bags of all versions write it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rosbags.interfaces import Qos
from rosbags.rosbag2.metadata import dump_qos_v8, parse_qos


def qos_from_text(profiles: Any) -> tuple[Qos, ...]:
    """The profiles of a topic, from text or from a list. Those that cannot be read count as not given, for subscribers
    then take their defaults and no message depends on them."""
    try:
        return tuple(parse_qos(profiles or ""))
    except Exception:  # rosbags raises what its YAML reader and missing keys raise
        return ()


def qos_as_text(profiles: Sequence[Qos]) -> str:
    """As metadata up to version 8 have it, which Humble needs and later releases accept."""
    return dump_qos_v8(list(profiles))
