"""The node's history of clouds: its parameters, and the subscriptions that bring poses."""

from __future__ import annotations

from collections import Counter
from typing import Any

from pvd_core.borders.errors import UserError
from pvd_core.clouds.history import PastScans, single_remark
from pvd_ros.middleware.ros_session import check_topic_name, qos_profile
from pvd_ros.poses import CloudHistory, FrameTree, OdometryPoses, PoseLimits, WaitingPoses
from pvd_ros.poses.history import past_behind, training_remark
from pvd_ros.poses.source import ODOMETRY

_SOURCES = "odometry or fixed_frame"
# What comes while this process is busy; transforms and odometry come at up to some hundred hertz.
_DEPTH = 200


class NodeHistory:
    """Puts past clouds behind each where the parameters of `node` say so and poses come."""

    def __init__(self, node: Any) -> None:
        self._node = node
        self._subscriptions: list[Any] = []
        self._history: CloudHistory | None = None
        self._counted: Counter[str] = Counter()
        self._said: set[str] = set()

    @property
    def counters(self) -> dict[str, int]:
        """Those of CloudHistory, of all times that the node was active; empty while it never had a history."""
        now = self._history.counters if self._history is not None else {}
        return {name: self._counted[name] + now.get(name, 0) for name in {**self._counted, **now}}

    @property
    def remarks(self) -> list[str]:
        """Why the last cloud was labelled alone, if it was; to be asked now and then."""
        if self._history is None:
            return []
        found = self._history.remarks
        return found + self._topic_remarks() if found else []

    def check(self) -> None:
        """UserError for parameters that do not fit together, and where messages are not installed."""
        topic, frame = self._value("odometry"), self._value("fixed_frame")
        PoseLimits(self._value("max_speed"), self._value("max_turn_rate"))
        if topic and frame:
            raise UserError(
                f"parameters odometry ({topic}) and fixed_frame ({frame}) both name a source of poses; choose one"
            )
        if topic:
            check_topic_name("parameter odometry", topic)
            _odometry_type()
        if frame:
            transforms_type("fixed_frame")

    def start(self, wanted: PastScans) -> CloudHistory | None:
        """Subscribes to the poses that a history needs; None where clouds are labelled alone. `wanted`: the past scans
        that the weights expect behind each."""
        past = past_behind(wanted, self._chosen("history", 0), self._chosen("history_stride", 1))
        source = self._value("odometry") or self._value("fixed_frame")
        if not past.past or not source:
            self._say_alone(wanted, past)
            return None
        if remark := training_remark(wanted, past):
            self._node.get_logger().warning(remark)
        poses = self._subscribed()
        self._history = CloudHistory(past, poses)
        self._node.get_logger().info(f"{past.past} past clouds (stride {past.stride}) behind each, by {source}")
        return self._history

    def stop(self) -> None:
        """Ends the subscriptions. Counters stay."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions = []
        self._counted = Counter(self.counters)
        self._history = None

    def _chosen(self, name: str, least: int) -> int | None:
        """A parameter's value; None where it leaves the choice to the weights."""
        value = self._value(name)
        return value if value >= least else None

    def _say_alone(self, wanted: PastScans, past: PastScans) -> None:
        remark = single_remark(wanted)
        if past.past:
            remark = remark or f"parameter history is {past.past}, but no poses come: clouds are labelled alone"
            remark += f"; parameter {_SOURCES} gives poses"
        if remark:
            self._node.get_logger().warning(remark)

    def _subscribed(self) -> WaitingPoses:
        limits = PoseLimits(self._value("max_speed"), self._value("max_turn_rate"))
        wait_s, topic = self._value("pose_wait_ms") / 1e3, self._value("odometry")
        if topic:
            odometry = OdometryPoses(self._node.resolve_topic_name(topic), limits)
            poses, frames = WaitingPoses(odometry, wait_s), odometry.frames
            self._subscribe(poses, _odometry_type(), topic, odometry.add)
        else:
            frames = FrameTree(self._value("fixed_frame"), limits)
            poses = WaitingPoses(frames, wait_s)
        self._hear_frames(poses, frames, with_moving=not topic)
        return poses

    def _hear_frames(self, poses: WaitingPoses, frames: FrameTree, with_moving: bool) -> None:
        try:
            message_type = transforms_type("fixed_frame")
        except UserError:
            self._node.get_logger().info(
                "tf2_msgs is not installed, so /tf_static is not heard: the odometry must be of the clouds' own frame"
            )
            return
        self._subscribe(poses, message_type, "/tf_static", lambda message: frames.add(message, True), is_static=True)
        if with_moving:
            self._subscribe(poses, message_type, "/tf", frames.add)

    def _subscribe(
        self, poses: WaitingPoses, message_type: Any, topic: str, take: Any, is_static: bool = False
    ) -> None:
        def on_message(message: Any) -> None:
            with poses.feeding():
                take(message)

        # Best effort hears reliable publishers too; what was published before is kept by reliable ones only.
        qos = qos_profile(is_static, _DEPTH, latched=is_static)
        self._subscriptions.append(self._node.create_subscription(message_type, topic, on_message, qos))

    def _topic_remarks(self) -> list[str]:
        topic = self._value("odometry")
        if not topic:
            return []
        topic = self._node.resolve_topic_name(topic)
        types = {publisher.topic_type for publisher in self._node.get_publishers_info_by_topic(topic)}
        found = []
        if not types:
            topics = self._node.get_topic_names_and_types()
            others = [name for name, its_types in topics if ODOMETRY in its_types and name != topic]
            found = [f"nobody publishes {topic}; odometry is on: {', '.join(sorted(others)) or 'no topic at all'}"]
        elif ODOMETRY not in types:
            found = [f"{topic} is published as {', '.join(sorted(types))}, expected {ODOMETRY}"]
        for remark in {*found} - self._said:
            self._node.get_logger().warning(remark)
        self._said |= {*found}
        return found

    def _value(self, name: str) -> Any:
        return self._node.get_parameter(name).value


def _odometry_type() -> Any:
    """The class nav_msgs.msg.Odometry; UserError where it is not installed."""
    try:
        from nav_msgs.msg import Odometry
    except ImportError as error:
        raise _missing("odometry", "nav-msgs", error, "or install the wheels: pip install 'pvd_ros[ros]'") from error
    return Odometry


def transforms_type(parameter: str) -> Any:
    """The class tf2_msgs.msg.TFMessage; UserError, which names the parameter that needs it, where it is missing."""
    try:
        from tf2_msgs.msg import TFMessage
    except ImportError as error:
        other = "odometry" if parameter == "fixed_frame" else "numbers (mounting_height, ego_box without ego_frame)"
        remedy = f"there is no wheel of it, so without a ROS installation take {other} instead"
        raise _missing(parameter, "tf2-msgs", error, remedy) from error
    return TFMessage


def _missing(parameter: str, package: str, error: ImportError, remedy: str) -> UserError:
    return UserError(
        f"parameter {parameter} needs messages that this Python lacks ({error}): source your ROS 2 and install "
        f"ros-$ROS_DISTRO-{package}; {remedy}"
    )
