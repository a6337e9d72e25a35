"""A ROS node in the test's own process that hears, publishes and calls on the domain of a graph. Needs rclpy."""

from __future__ import annotations

import os
from contextlib import contextmanager
from unittest import mock

import rclpy
from ros_processes import Graph, wait_until

from pvd_ros.middleware.ros_session import qos_profile, ros_context


class Peer:
    def __init__(self, context):
        self.node = rclpy.create_node("peer", context=context, use_global_arguments=False)
        self.executor = rclpy.executors.SingleThreadedExecutor(context=context)
        self.executor.add_node(self.node)
        self._clients = {}

    def hear(self, message_type, topic, latched=False):
        """A list that fills with what arrives."""
        heard = []
        self.node.create_subscription(message_type, topic, heard.append, qos_profile(True, 20, latched))
        return heard

    def spin_until(self, condition):
        def spun():
            self.executor.spin_once(timeout_sec=0.05)
            return condition()

        wait_until(spun)

    def call(self, service_type, name, request):
        # Every client of a service gets all of its answers: with one a call, each call is slower than the last.
        client = self._clients.get(name) or self._clients.setdefault(name, self.node.create_client(service_type, name))
        self.spin_until(client.service_is_ready)
        future = client.call_async(request)
        self.spin_until(future.done)
        return future.result()


@contextmanager
def peer_of(graph: Graph):
    domain = {name: graph.environment[name] for name in ("ROS_DOMAIN_ID", "ROS_AUTOMATIC_DISCOVERY_RANGE")}
    with mock.patch.dict(os.environ, domain), ros_context() as context:
        peer = Peer(context)
        yield peer
        peer.executor.shutdown()
        peer.node.destroy_node()
