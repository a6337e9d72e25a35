"""Ten clouds of 2 MB at 10 Hz, best effort: what is received and what is lost add up, and a loss is said."""

import os
import re
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from ros_clouds import rclpy_cloud, xyzi_cloud
from ros_nodes import start_node
from ros_processes import graph, wait_until

pytest.importorskip("rclpy", reason="needs rclpy: pip install 'pvd_ros[ros]' or source a ROS 2")

from diagnostic_msgs.msg import DiagnosticArray
from ros_peer import peer_of
from sensor_msgs.msg import PointCloud2

from pvd_ros.middleware.ros_session import qos_profile
from pvd_ros.middleware.transport import CYCLONE_VARIABLE, PROFILE_VARIABLES

NUM_LARGE, PERIOD_S = 10, 0.1
PLAIN_PROFILE = """<?xml version="1.0" encoding="UTF-8"?>
<dds xmlns="http://www.eprosima.com/XMLSchemas/fastRTPS_Profiles">
  <profiles><participant profile_name="plain" is_default_profile="true"/></profiles>
</dds>
"""


@pytest.fixture
def use_settings(tmp_path, monkeypatch):
    """Sets the middleware of publisher and node, and whether both take the shipped settings or its defaults."""

    def use(middleware, are_shipped):
        library, prefixes = f"lib/lib{middleware}.so", os.environ.get("AMENT_PREFIX_PATH", "").split(":")
        if middleware != "rmw_fastrtps_cpp" and not any(Path(prefix, library).exists() for prefix in prefixes):
            pytest.skip(f"{middleware} is not installed")
        monkeypatch.setenv("RMW_IMPLEMENTATION", middleware)
        for name in (*PROFILE_VARIABLES, CYCLONE_VARIABLE):
            monkeypatch.delenv(name, raising=False)
        if not are_shipped:
            (tmp_path / "plain.xml").write_text(PLAIN_PROFILE)
            monkeypatch.setenv(PROFILE_VARIABLES[0], str(tmp_path / "plain.xml"))
            monkeypatch.setenv(CYCLONE_VARIABLE, "<CycloneDDS/>")

    return use


@contextmanager
def publisher_of(peer):
    """A publisher of /lidar that the node has found, and a function for the node's latest counts."""
    reports = peer.hear(DiagnosticArray, "/diagnostics")
    publisher = peer.node.create_publisher(PointCloud2, "/lidar", qos_profile(False, 5))
    peer.spin_until(lambda: reports and "nobody publishes" not in reports[-1].status[0].message)
    assert publisher.get_subscription_count() == 1

    def counts():
        values = {item.key: item.value for item in reports[-1].status[0].values}
        return {name: int(value) for name, value in values.items() if value.isdecimal()}

    yield publisher, counts, reports


def send_all(peer, publisher):
    """Ten large clouds at their rate, and a small one, whose arrival tells what is missing before it."""
    generator = np.random.default_rng(0)
    points = generator.uniform((-40, -40, -2, 0), (40, 40, 2, 1), (120_000, 4)).astype(np.float32)
    start = time.monotonic()
    for index in range(NUM_LARGE):
        publisher.publish(xyzi_cloud(points, time.time_ns(), build=rclpy_cloud))
        wait_until(lambda index=index: time.monotonic() > start + (index + 1) * PERIOD_S)
    publisher.publish(xyzi_cloud(points[:100], time.time_ns(), build=rclpy_cloud))


@pytest.mark.parametrize(
    ("middleware", "are_shipped"),
    [
        ("rmw_fastrtps_cpp", True),
        ("rmw_fastrtps_cpp", False),
        ("rmw_cyclonedds_cpp", True),
        ("rmw_cyclonedds_cpp", False),
    ],
)
def test_received_and_lost_clouds_add_up_and_a_loss_is_said_with_its_remedy(
    tmp_path, use_settings, middleware, are_shipped
):
    use_settings(middleware, are_shipped)
    with graph(tmp_path) as ros, peer_of(ros) as peer:
        node = start_node(ros)
        with publisher_of(peer) as (publisher, counts, reports):
            send_all(peer, publisher)
            num_before = len(reports)
            peer.spin_until(lambda: len(reports) > num_before + 2)
        found = counts()
        assert node.stop() == 0
    assert found["received"] == found["labelled"] + found["dropped"] + found["rejected"] + found["skipped"]
    if middleware == "rmw_fastrtps_cpp":
        assert found["received"] + found["lost"] == NUM_LARGE + 1
    # Cyclone DDS does not number clouds: there the stamps tell, of the last clouds when the node ends.
    gaps = int(re.findall(r"clouds: .* gaps (\d+)", node.text())[-1])
    if found["lost"] or (gaps and middleware != "rmw_fastrtps_cpp"):
        assert "clouds never reached this node: start their publisher with" in node.text()
    else:
        assert "never reached this node" not in node.text()
        is_told = middleware == "rmw_fastrtps_cpp" or found["received"] > 5
        assert ("too few to tell by their stamps" in node.text()) is not is_told
