"""The node with past clouds: by odometry, that comes in time, late, never, or jumps."""

import importlib.util
from threading import Thread

import numpy as np
import pytest
from moving_drive import pose_at
from pose_messages import START_NS, STEP_NS, cdr, drive_clouds, odometry, odometry_rows, truth_at, write_bag
from ros_clouds import slow_column
from ros_nodes import start_node
from ros_weights import tiny_weights

from pvd_core.segmenter import Segmenter
from pvd_ros.bags import LabelOptions, PoseOptions, label_bag, read_clouds
from pvd_ros.poses import NoPoseError, OdometryPoses, PoseLimits, WaitingPoses

pytest.importorskip("rclpy", reason="needs rclpy: pip install 'pvd_ros[ros]' or source a ROS 2")
pytest.importorskip("nav_msgs.msg", reason="needs nav_msgs: pip install 'pvd_ros[ros]'")

from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.srv import ChangeState
from nav_msgs.msg import Odometry
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import PointCloud2

RELIABLE = ("always_label:=true", "input_reliability:=reliable", "intensity_scale:=1")
HAS_TF = importlib.util.find_spec("tf2_msgs") is not None


class Vehicle:
    """Publishes odometry and clouds, and hears what the node makes of them."""

    def __init__(self, peer):
        self._peer = peer
        self._clouds = peer.node.create_publisher(PointCloud2, "/lidar", 10)
        self._odometry = peer.node.create_publisher(Odometry, "/odom", 100)
        self.labelled = peer.hear(PointCloud2, "/segmenter/points")
        self._diagnostics = peer.hear(DiagnosticArray, "/diagnostics")

    def wait_for_node(self):
        self._peer.spin_until(lambda: self._clouds.get_subscription_count() and self._odometry.get_subscription_count())

    def move(self, message):
        self._odometry.publish(deserialize_message(cdr(message), Odometry))

    def scan(self, cloud):
        """Publishes a cloud and waits until it is labelled."""
        before = len(self.labelled)
        self._clouds.publish(deserialize_message(cdr(cloud), PointCloud2))
        self._peer.spin_until(lambda: len(self.labelled) > before)

    def send(self, cloud):
        self._clouds.publish(deserialize_message(cdr(cloud), PointCloud2))

    def counters(self, wanted):
        """The node's counters, once `wanted`, a function of them, is true."""

        def values():
            status = [each for message in self._diagnostics for each in message.status if "labelling" in each.name]
            return {item.key: item.value for item in status[-1].values} if status else {}

        self._peer.spin_until(lambda: values() and wanted(values()))
        return values()

    def health(self):
        return [each.message for message in self._diagnostics for each in message.status]

    def spin_until(self, condition):
        self._peer.spin_until(condition)


@pytest.fixture
def vehicle(peer):
    return Vehicle(peer)


def test_the_node_labels_with_past_clouds_as_label_bag_does_from_the_same_odometry(ros, vehicle, tmp_path):
    clouds, messages = drive_clouds(5), odometry_rows(0.7)
    node = start_node(ros, *RELIABLE, "odometry:=/odom", "history:=2", "pose_wait_ms:=10000.0")
    vehicle.wait_for_node()
    for _, _, message in messages:
        vehicle.move(message)
    for cloud in clouds:
        vehicle.scan(cloud)

    segmenter = Segmenter.from_weights(tiny_weights(tmp_path), device="cpu")
    options = LabelOptions(intensity_scale=1.0, poses=PoseOptions(odometry="/odom", history=2))
    label_bag(write_bag(tmp_path / "in", clouds, messages), tmp_path / "out", segmenter, "/lidar", options)
    expected = [cloud.message for cloud in read_clouds(tmp_path / "out", "/lidar/labelled")]
    for found, wanted in zip(vehicle.labelled, expected, strict=True):
        assert found.width == wanted.width
        for name in ("x", "label", "confidence"):
            np.testing.assert_array_equal(slow_column(found, name), slow_column(wanted, name))
    counters = vehicle.counters(lambda values: values["labelled"] == "5")
    assert counters["fused"] == "4"
    assert (counters["without_pose"], counters["history_dropped"]) == ("0", "0")
    assert node.stop() == 0
    assert "fused 4" in node.text()
    assert "2 past clouds (stride 1) behind each, for weights that were trained with single scans" in node.text()


def test_a_cloud_waits_for_odometry_that_comes_after_it(ros, vehicle):
    start_node(ros, *RELIABLE, "odometry:=/odom", "history:=1", "pose_wait_ms:=10000.0")
    vehicle.wait_for_node()
    clouds = drive_clouds(2)
    for number, cloud in enumerate(clouds):
        vehicle.move(odometry(START_NS + number * STEP_NS - 10**7, truth_at(0.1 * number - 0.01)))
        vehicle.spin_until(lambda: True)
        vehicle.send(cloud)
        for _ in range(5):
            vehicle.spin_until(lambda: True)
        vehicle.move(odometry(START_NS + number * STEP_NS + 10**7, truth_at(0.1 * number + 0.01)))
        vehicle.spin_until(lambda number=number: len(vehicle.labelled) > number)
    assert vehicle.counters(lambda values: values.get("fused") == "1")["without_pose"] == "0"


def test_without_odometry_clouds_are_labelled_alone_and_log_and_diagnostics_say_so(ros, vehicle):
    node = start_node(ros, *RELIABLE, "odometry:=/odometry", "history:=2")
    vehicle.spin_until(lambda: vehicle._clouds.get_subscription_count())
    for cloud in drive_clouds(2):
        vehicle.scan(cloud)
    counters = vehicle.counters(lambda values: values.get("without_pose") == "2")
    assert (counters["without_pose_never"], counters["fused"]) == ("2", "0")
    vehicle.spin_until(lambda: any("nobody publishes /odometry; odometry is on: /odom" in m for m in vehicle.health()))
    node.wait_for_text("clouds are labelled alone: no pose has come: odometry of /odometry")
    assert node.text().count("clouds are labelled alone") == 1


def test_a_jump_of_the_odometry_drops_the_history_and_is_counted(ros, vehicle):
    node = start_node(ros, *RELIABLE, "odometry:=/odom", "history:=2", "pose_wait_ms:=10000.0")
    vehicle.wait_for_node()
    jumped = pose_at(300)
    for number, cloud in enumerate(drive_clouds(4)):
        pose = truth_at(0.1 * number)
        vehicle.move(odometry(START_NS + number * STEP_NS, jumped @ pose if number > 1 else pose))
        vehicle.scan(cloud)
    counters = vehicle.counters(lambda values: values["labelled"] == "4")
    assert (counters["history_dropped_jump"], counters["fused"]) == ("1", "2")
    node.wait_for_text("the history of clouds is dropped: the pose jumps")


def test_counters_of_the_history_outlive_a_deactivation(ros, vehicle, peer):
    start_node(ros, *RELIABLE, "odometry:=/odom", "history:=1", "pose_wait_ms:=10000.0")
    clouds = drive_clouds(4)
    for part in (clouds[:2], clouds[2:]):
        vehicle.wait_for_node()
        for cloud in part:
            number = clouds.index(cloud)
            vehicle.move(odometry(START_NS + number * STEP_NS, truth_at(0.1 * number)))
            vehicle.scan(cloud)
        for label in ("deactivate", "activate"):
            request = ChangeState.Request()
            request.transition.label = label
            assert peer.call(ChangeState, "/segmenter/change_state", request).success
    vehicle.counters(lambda values: values.get("fused") == "2")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["odometry:=/odom", "fixed_frame:=odom"], "both name a source of poses; choose one"),
        (["odometry:=no topic"], "parameter odometry is no topic name"),
        (["history:=21"], "parameter history must lie in -1..20"),
        (["max_speed:=0.0"], "parameter max_speed must lie in 0.1..1e+06"),
        pytest.param(
            ["fixed_frame:=odom"],
            "parameter fixed_frame needs messages that this Python lacks",
            marks=pytest.mark.skipif(HAS_TF, reason="tf2_msgs is installed"),
        ),
    ],
)
def test_parameters_that_do_not_fit_are_one_clear_message(ros, arguments, words):
    node = ros.fork("pvd_ros.node", "--ros-args", *(word for each in arguments for word in ("-p", each)))
    assert node.wait() == 2
    assert words in node.text()
    assert len(node.text().strip().splitlines()) == 1


@pytest.mark.skipif(not HAS_TF, reason="needs tf2_msgs, of which there is no wheel: source a ROS 2")
def test_the_node_takes_poses_from_tf(ros, vehicle, peer):
    from pose_messages import transforms
    from tf2_msgs.msg import TFMessage

    publisher = peer.node.create_publisher(TFMessage, "/tf", 100)
    start_node(ros, *RELIABLE, "fixed_frame:=odom", "history:=1", "pose_wait_ms:=10000.0")
    vehicle.spin_until(lambda: vehicle._clouds.get_subscription_count() and publisher.get_subscription_count())
    for number, cloud in enumerate(drive_clouds(2)):
        moved = transforms((START_NS + number * STEP_NS, truth_at(0.1 * number), "odom", "velodyne"))
        publisher.publish(deserialize_message(cdr(moved), TFMessage))
        vehicle.scan(cloud)
    vehicle.counters(lambda values: values.get("fused") == "1")


def test_a_history_without_a_source_of_poses_is_said(ros):
    node = start_node(ros, "history:=2")
    node.wait_for_text("parameter history is 2, but no poses come: clouds are labelled alone; parameter odometry or")


def test_a_pose_that_comes_while_a_cloud_waits_is_taken():
    source = OdometryPoses("/odom", PoseLimits())
    source.add(odometry(START_NS, pose_at(0)))
    poses, found = WaitingPoses(source, wait_s=60), []
    waiting = Thread(target=lambda: found.append(poses.pose(START_NS + STEP_NS, "velodyne")))
    waiting.start()
    with poses.feeding():
        source.add(odometry(START_NS + STEP_NS, pose_at(1)))
    waiting.join()
    np.testing.assert_allclose(found[0], pose_at(1), atol=1e-12)


def test_waiting_ends_and_only_a_late_pose_is_waited_for():
    source = OdometryPoses("/odom", PoseLimits())
    with pytest.raises(NoPoseError) as caught:
        WaitingPoses(source, wait_s=10**6).pose(START_NS, "velodyne")
    assert caught.value.reason == "never"
    source.add(odometry(START_NS, pose_at(0)))
    with pytest.raises(NoPoseError) as caught:
        WaitingPoses(source, wait_s=0.01).pose(START_NS + STEP_NS, "velodyne")
    assert caught.value.reason == "late"
