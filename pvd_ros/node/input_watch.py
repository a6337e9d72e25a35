"""What is wrong around the node, as far as ROS 2 knows: its input topic, the clock, another node of its name."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from rclpy.utilities import get_rmw_implementation_identifier

from pvd_core.borders.errors import UserError
from pvd_ros.middleware.other_users import other_users_memory
from pvd_ros.node.topic_check import no_publisher, publisher_problems, who_publishes

SILENT_S = 10.0


class InputWatch:
    """Looks around when asked, and logs each finding once while it lasts.

    node: of rclpy. topic: its input, own_topics: its outputs. remedy: what to do where clouds do not arrive.
    """

    def __init__(self, node: Any, topic: str, own_topics: Collection[str], wants_reliable: bool, remedy: str) -> None:
        self._node, self._topic, self._own_topics = node, topic, own_topics
        self._wants_reliable, self._remedy = wants_reliable, remedy
        self._received, self._change_s = -1, 0.0
        self._known: set[str] = set()
        self._fields: list[str] = []

    def see(self, message: Any) -> None:
        """Remembers the names of the fields of a cloud, a PointCloud2 of the topic; an empty cloud may have none."""
        if message.fields:
            self._fields = [field.name for field in message.fields]

    def check_field(self, name: str) -> None:
        """UserError if the newest cloud has no field of that name; "" stands for any."""
        if name and self._fields and name not in self._fields:
            raise UserError(
                f"parameter intensity_field is {name!r}, but clouds on {self._topic} have: {', '.join(self._fields)}"
            )

    def look(self, received: int, now_s: float) -> tuple[list[str], list[str]]:
        """(why no cloud can arrive, what else is odd), each as sentences.

        received: clouds that reached the node so far. now_s: of a steady clock.
        """
        node, logger = self._node, self._node.get_logger()
        publishers = node.get_publishers_info_by_topic(self._topic)
        problems = publisher_problems(publishers, self._topic, self._wants_reliable)
        topics = node.get_topic_names_and_types()
        remarks = no_publisher(publishers, self._topic, self._own_topics, topics) + self._clock() + self._namesakes()
        if self._is_silent(received, now_s, bool(publishers)) and not problems:
            who = ", ".join(sorted({who_publishes(each, self._topic) for each in publishers}))
            lost = other_users_memory(get_rmw_implementation_identifier()) or f"its clouds are lost: {self._remedy}"
            remarks.append(f"{who}, but no cloud has come for {SILENT_S:g} s: it pauses, or {lost}")
        for problem in set(problems) - self._known:
            logger.error(problem)
        for remark in set(remarks) - self._known:
            logger.warning(remark)
        self._known = {*problems, *remarks}
        return problems, remarks

    def _is_silent(self, received: int, now_s: float, has_publisher: bool) -> bool:
        if received != self._received or not has_publisher:
            self._received, self._change_s = received, now_s
        return now_s - self._change_s >= SILENT_S

    def _clock(self) -> list[str]:
        if not self._node.get_parameter("use_sim_time").value:
            return []
        if self._node.count_publishers("/clock") and self._node.get_clock().now().nanoseconds:
            return []
        return ["use_sim_time is true, but no /clock comes: play with `ros2 bag play --clock`, or set it to false"]

    def _namesakes(self) -> list[str]:
        own = self._node.get_name(), self._node.get_namespace()
        count = self._node.get_node_names_and_namespaces().count(own)
        if count < 2:
            return []
        name = self._node.get_fully_qualified_name()
        return [f"{count} nodes are named {name}: give each a name or namespace of its own (-r __ns:=/front)"]
