"""What the tests with ROS processes share: a graph of their own, and a peer in it that hears and calls."""

import pytest
from ros_processes import graph


@pytest.fixture
def ros(tmp_path):
    with graph(tmp_path) as found:
        yield found


@pytest.fixture
def peer(ros):
    from ros_peer import peer_of  # needs rclpy

    with peer_of(ros) as found:
        yield found
