"""A subscription that reports lost clouds and publishers with an incompatible QoS, on Humble to Kilted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.qos import qos_policy_name_from_kind

try:
    from rclpy.event_handler import SubscriptionEventCallbacks, UnsupportedEventTypeError
except ImportError:  # Humble
    from rclpy.qos_event import SubscriptionEventCallbacks, UnsupportedEventTypeError


def subscribe_with_events(
    node: Any,
    message_type: Any,
    topic: str,
    on_message: Callable[[Any], None],
    qos: Any,
    on_lost: Callable[[int], None],
) -> Any:
    """A subscription of `node` to `topic`.

    on_message(message) is called for each message, on_lost(count) when the middleware reports lost ones, which not all
    middlewares do. A publisher with an incompatible QoS is logged as an error.
    """

    def on_incompatible_qos(event: Any) -> None:
        policy = qos_policy_name_from_kind(event.last_policy_kind)
        node.get_logger().error(f"a publisher of {topic} offers an incompatible QoS ({policy}); it is not heard")

    def on_message_lost(event: Any) -> None:
        on_lost(event.total_count_change)

    events: dict[str, Any] = {"incompatible_qos": on_incompatible_qos}
    try:
        callbacks = SubscriptionEventCallbacks(message_lost=on_message_lost, **events)
        return node.create_subscription(message_type, topic, on_message, qos, event_callbacks=callbacks)
    except UnsupportedEventTypeError:
        callbacks = SubscriptionEventCallbacks(**events)
        return node.create_subscription(message_type, topic, on_message, qos, event_callbacks=callbacks)
