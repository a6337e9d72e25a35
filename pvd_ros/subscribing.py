"""A subscription that tells when clouds are lost or a publisher offers an incompatible QoS; Humble to Kilted."""

from __future__ import annotations

from collections.abc import Callable

from rclpy.qos import qos_policy_name_from_kind

try:
    from rclpy.event_handler import SubscriptionEventCallbacks, UnsupportedEventTypeError
except ImportError:  # Humble
    from rclpy.qos_event import SubscriptionEventCallbacks, UnsupportedEventTypeError


def subscribe_with_events(node, message_type, topic: str, on_message: Callable, qos, on_lost: Callable[[int], None]):
    """The subscription. on_lost(count) is called where the middleware can tell; a QoS mismatch is logged."""

    def on_incompatible_qos(event) -> None:
        policy = qos_policy_name_from_kind(event.last_policy_kind)
        node.get_logger().error(f"a publisher of {topic} offers an incompatible QoS ({policy}); it is not heard")

    events = {"incompatible_qos": on_incompatible_qos}
    try:
        callbacks = SubscriptionEventCallbacks(message_lost=lambda event: on_lost(event.total_count_change), **events)
        return node.create_subscription(message_type, topic, on_message, qos, event_callbacks=callbacks)
    except UnsupportedEventTypeError:
        callbacks = SubscriptionEventCallbacks(**events)
        return node.create_subscription(message_type, topic, on_message, qos, event_callbacks=callbacks)
