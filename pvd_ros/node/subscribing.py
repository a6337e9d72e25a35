"""A subscription that numbers its messages, and reports lost ones and publishers with an incompatible QoS, on Humble to
Kilted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rclpy.qos import qos_policy_name_from_kind
from rclpy.subscription import Subscription

try:
    from rclpy.event_handler import SubscriptionEventCallbacks, UnsupportedEventTypeError
except ImportError:  # Humble
    from rclpy.qos_event import SubscriptionEventCallbacks, UnsupportedEventTypeError


def subscribe_with_events(
    node: Any,
    message_type: Any,
    topic: str,
    on_message: Callable[[Any, int | None], None],
    qos: Any,
    on_lost: Callable[[int], None],
) -> Any:
    """A subscription of `node` to `topic`.

    on_message(message, number) is called for each message; number: the publisher's sequence number of it, None where
    the middleware does not tell (Humble, Cyclone DDS) and where several publishers count, each for itself.
    on_lost(count) is called when the middleware reports lost messages, which not all middlewares do. A publisher with
    an incompatible QoS is logged as an error.
    """

    def on_message_and_facts(message: Any, facts: Mapping[str, Any]) -> None:
        is_single = subscription.get_publisher_count() <= 1
        on_message(message, facts.get("publication_sequence_number") if is_single else None)

    def on_incompatible_qos(event: Any) -> None:
        policy = qos_policy_name_from_kind(event.last_policy_kind)
        node.get_logger().error(f"a publisher of {topic} offers an incompatible QoS ({policy}); it is not heard")

    def on_message_lost(event: Any) -> None:
        on_lost(event.total_count_change)

    # rclpy of Humble hands over messages alone.
    hears_facts = hasattr(Subscription, "CallbackType")
    callback = on_message_and_facts if hears_facts else lambda message: on_message(message, None)
    events: dict[str, Any] = {"incompatible_qos": on_incompatible_qos}
    try:
        callbacks = SubscriptionEventCallbacks(message_lost=on_message_lost, **events)
        subscription = node.create_subscription(message_type, topic, callback, qos, event_callbacks=callbacks)
    except UnsupportedEventTypeError:
        callbacks = SubscriptionEventCallbacks(**events)
        subscription = node.create_subscription(message_type, topic, callback, qos, event_callbacks=callbacks)
    return subscription
