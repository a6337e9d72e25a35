"""Crop, mounting by transforms, and the rate limit: what the node does with clouds before it labels them."""

import numpy as np
import pytest
from pose_messages import transforms
from ros_clouds import rclpy_cloud, slow_column, xyzi_cloud
from ros_nodes import start_node
from ros_weights import tiny_weights

pytest.importorskip("rclpy", reason="needs rclpy: pip install 'pvd_ros[ros]' or source a ROS 2")

from sensor_msgs.msg import PointCloud2
from test_node_outputs import set_parameter

from pvd_core.clouds.mounting import Mounting
from pvd_core.segmenter import Segmenter
from pvd_ros.bags.types import rosbags_cloud_types
from pvd_ros.labeller import CloudLabeller
from pvd_ros.middleware.ros_session import qos_profile
from pvd_ros.node.parameters import SPECS
from pvd_ros.node.rate_limit import RateLimit
from pvd_ros.node.vehicle import Vehicle, mounting_of

BOX = [-1.0, -1.0, -1.0, 2.0, 1.0, 1.0]
ROOF = Mounting(height=2.1, roll=3.0, pitch=-4.0, yaw=30.0)


def pose_of(mounting, x=0.0):
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = mounting.rotation(), (x, 0.0, mounting.height)
    return matrix


@pytest.fixture
def vehicle(peer):
    """A function that gives the vehicle of a node with these parameters."""

    def made(**values):
        for spec in SPECS:
            peer.node.declare_parameter(spec.name, values.get(spec.name, spec.default))
        return Vehicle(peer.node)

    return made


def points_of(count=400):
    return np.random.default_rng(1).uniform((-4, -4, -2, 0), (4, 4, 2, 1), (count, 4)).astype(np.float32)


def test_a_mounting_by_transforms_is_that_of_the_same_numbers(vehicle):
    car = vehicle(base_frame="base_footprint", mounting_height=0.5)
    assert car.mounting("velodyne") == Mounting(0.5)
    assert "no fixed transforms lead from base_footprint (base_frame) to velodyne" in car.remarks[0]
    car.hear(transforms((0, pose_of(Mounting(1.6), 1.2), "base_footprint", "roof")))
    lever = np.linalg.inv(pose_of(Mounting(1.6), 1.2)) @ pose_of(ROOF, 0.9)
    car.hear(transforms((0, lever, "roof", "velodyne")))
    found = car.mounting("/velodyne")
    assert [found.height, found.roll, found.pitch, found.yaw] == pytest.approx([2.1, 3.0, -4.0, 30.0], abs=1e-6)
    assert car.remarks == []


@pytest.mark.parametrize("mounting", [Mounting(), ROOF, Mounting(0.4, -170.0, 80.0, 179.0)])
def test_the_angles_of_a_pose_come_back(mounting):
    np.testing.assert_allclose(mounting_of(pose_of(mounting)).rotation(), mounting.rotation(), atol=1e-12)


def test_a_transform_that_is_no_mounting_is_said_and_raises_nothing(vehicle):
    car = vehicle(base_frame="map")
    high = np.eye(4)
    high[2, 3] = 500.0
    car.hear(transforms((0, high, "map", "velodyne")))
    assert car.mounting("velodyne") == Mounting()
    assert "is no mounting: mounting height 500" in car.remarks[0]


def test_the_box_is_cropped_in_its_own_frame_once_the_transform_is_known(vehicle):
    car, points = vehicle(ego_frame="base_link", ego_box=BOX), points_of()
    assert car.is_cropped(points, "velodyne") is None
    assert "so ego_box is not cropped" in car.remarks[0]
    car.hear(transforms((0, pose_of(ROOF), "base_link", "velodyne")))
    moved = [(pose_of(ROOF) @ [*point[:3], 1.0])[:3] for point in points.astype(float)]
    inside = [bool((point >= BOX[:3]).all() and (point <= BOX[3:]).all()) for point in moved]
    assert 0 < sum(inside) < len(points)
    assert car.is_cropped(points, "velodyne").tolist() == inside
    assert car.remarks == []


def test_cropped_points_get_label_0_in_their_places_and_the_network_never_sees_them(vehicle, tmp_path):
    car, points = vehicle(min_range=1.0, max_range=4.0, ego_box=BOX), points_of()
    segmenter = Segmenter.from_weights(tiny_weights(tmp_path), "cpu")
    labeller = CloudLabeller(segmenter, rosbags_cloud_types(), cropper=car)
    output = labeller.label(xyzi_cloud(points)).message
    cropped = car.is_cropped(points, "velodyne")
    labels = np.array(slow_column(output, "label"))
    assert (labels[cropped] == 0).all()
    np.testing.assert_array_equal(labels[~cropped], segmenter.segment(points[~cropped]).labels)
    np.testing.assert_array_equal(slow_column(output, "x"), points[:, 0])


def test_crop_and_rate_change_while_the_node_runs(ros, peer):
    labelled = peer.hear(PointCloud2, "/segmenter/points")
    publisher = peer.node.create_publisher(PointCloud2, "/lidar", qos_profile(False, 1))
    node = start_node(ros)

    def until(condition):
        def sent():
            publisher.publish(xyzi_cloud(points_of(), 1, build=rclpy_cloud))
            return labelled and condition(np.array(slow_column(labelled[-1], "label")))

        peer.spin_until(sent)

    until(lambda labels: (labels > 0).all())
    assert set_parameter(peer, "ego_box", BOX).successful
    until(lambda labels: (labels == 0).any() and (labels > 0).any())
    assert set_parameter(peer, "max_range", 2.0).successful
    assert "min_range is 9 and max_range 2" in set_parameter(peer, "min_range", 9.0).reason
    assert "expected 6" in set_parameter(peer, "ego_box", [1.0]).reason
    assert not set_parameter(peer, "ego_frame", "base_link").successful
    assert set_parameter(peer, "max_rate", 0.001).successful
    peer.spin_until(lambda: publisher.publish(xyzi_cloud(points_of(), 1, build=rclpy_cloud)) or len(labelled) > 1)
    num_before = len(labelled)
    for _ in range(20):
        publisher.publish(xyzi_cloud(points_of(), 1, build=rclpy_cloud))
        peer.executor.spin_once(timeout_sec=0.05)
    assert len(labelled) <= num_before + 2
    assert node.stop() == 0
    counts = dict(item.rsplit(" ", 1) for item in node.text().split("clouds: ")[-1].splitlines()[0].split(", "))
    assert 0 < int(counts["rate_limited"]) <= int(counts["skipped"])


def test_a_frame_that_needs_messages_that_are_missing_is_refused_with_what_to_do(ros):
    try:
        import tf2_msgs.msg  # noqa: F401

        pytest.skip("tf2_msgs is installed")
    except ImportError:
        pass
    node = ros.fork("pvd_ros.node", "--ros-args", "-p", "base_frame:=base_link")
    assert node.wait() == 2
    assert "parameter base_frame needs messages that this Python lacks" in node.text()
    assert "mounting_height" in node.text()


@pytest.mark.parametrize(
    ("rate", "jitter", "expected"), [(5.0, 0.0, 50), (5.0, 0.03, 50), (3.0, 0.0, 30), (20.0, 0.0, 100)]
)
def test_a_sensor_at_ten_hertz_is_limited_to_the_rate_in_the_long_run(rate, jitter, expected):
    limit, generator = RateLimit(), np.random.default_rng(0)
    times = np.arange(100) / 10 + generator.uniform(-jitter, jitter, 100)
    assert sum(limit.is_due(now, rate) for now in times) == pytest.approx(expected, abs=1)


def test_no_limit_takes_all_and_a_higher_one_holds_at_once():
    limit = RateLimit()
    assert all(limit.is_due(now, 0.0) for now in (0.0, 0.0, 0.001))
    assert [limit.is_due(now, 0.01) for now in (1.0, 2.0)] == [True, False]
    assert not limit.is_due(2.1, 10.0), "two periods of the new limit later at most"
    assert limit.is_due(2.4, 10.0)
