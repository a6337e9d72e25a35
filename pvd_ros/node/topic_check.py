"""Why no cloud arrives: nobody publishes the input topic, or in another type, or with an incompatible QoS; and which
topic can be no input."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from pvd_core.borders.errors import UserError
from pvd_ros.codec import CLOUD_TYPE

# What ROS 2 calls a node until its name has come.
_UNKNOWN = "_NODE_NAME_UNKNOWN_"


def check_input(topic: str, own_topics: Collection[str]) -> None:
    """UserError if the node's input, a full name, is one of its outputs: it would label what it has labelled."""
    if topic in own_topics:
        raise UserError(f"parameter points_in is {topic}, an output of this node: set it to the topic of the sensor")


def no_publisher(
    publishers: Sequence[Any],
    topic: str,
    own_topics: Collection[str],
    topics_and_types: Iterable[tuple[str, Sequence[str]]],
) -> list[str]:
    """If nobody publishes `topic`, a sentence that says so and names the topics that carry clouds; else [].

    publishers: as Node.get_publishers_info_by_topic returns them. own_topics: the node's outputs, which are not named.
    topics_and_types: as Node.get_topic_names_and_types returns them.
    """
    if publishers:
        return []
    others = [name for name, types in topics_and_types if CLOUD_TYPE in types and name not in (topic, *own_topics)]
    return [f"nobody publishes {topic}; clouds are on: {', '.join(sorted(others)) or 'no topic at all'}"]


def publisher_problems(publishers: Iterable[Any], topic: str, wants_reliable: bool) -> list[str]:
    """A sentence for each publisher of `topic` that this node cannot hear.

    publishers: as Node.get_publishers_info_by_topic returns them.
    """
    from rclpy.qos import ReliabilityPolicy

    problems = []
    for publisher in publishers:
        who = who_publishes(publisher, topic)
        if publisher.topic_type != CLOUD_TYPE:
            problems.append(f"{who} as {publisher.topic_type}, expected {CLOUD_TYPE}; set points_in to a cloud topic")
        elif wants_reliable and publisher.qos_profile.reliability == ReliabilityPolicy.BEST_EFFORT:
            problems.append(f"{who} best effort, but input_reliability is reliable; set it to best_effort")
    return sorted(set(problems))


def who_publishes(publisher: Any, topic: str) -> str:
    """The words "NODE publishes TOPIC". publisher: one of those of Node.get_publishers_info_by_topic."""
    if publisher.node_name == _UNKNOWN:
        return f"a publisher whose name is not known yet publishes {topic}"
    return f"{publisher.node_namespace.rstrip('/')}/{publisher.node_name} publishes {topic}"
