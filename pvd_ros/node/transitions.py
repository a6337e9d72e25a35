"""Requests for lifecycle transitions that the node's state does not have: refused, where rclpy would raise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.impl.implementation_singleton import rclpy_implementation

Answer = Callable[[Any, Any], Any]


def refusing_impossible(change_state: Answer, logger: Any) -> Answer:
    """`change_state`, the callback of rclpy's service of that name, with success False where it would raise because
    there is no such transition from the present state, which stays as it is. The refusal is logged."""

    def answer(request: Any, response: Any) -> Any:
        try:
            return change_state(request, response)
        except rclpy_implementation.RCLError as error:
            wanted = f"{request.transition.id} {request.transition.label}".strip()
            logger.warning(f"lifecycle transition {wanted} refused, the state stays: {' '.join(str(error).split())}")
            response.success = False
            return response

    return answer
