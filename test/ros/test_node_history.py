"""The node with past clouds: by odometry, that comes in time, late, never, or jumps."""

import importlib.util
import time
from threading import Event, Thread

import numpy as np
import pytest
from moving_drive import pose_at
from pose_messages import START_NS, STEP_NS, cdr, drive_clouds, header, odometry, odometry_rows, truth_at, write_bag
from ros_clouds import slow_column
from ros_nodes import start_node
from ros_processes import DEADLINE_S
from ros_weights import tiny_weights, tiny_weights_with_time

from pvd_core.segmenter import Segmenter
from pvd_ros.bags import LabelOptions, PoseOptions, label_bag, read_clouds
from pvd_ros.codec import stamp_of
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
        """Until the node hears clouds and odometry, and is heard: each finds the others at its own time. The clouds
        that tell are older than all poses, so that they stay alone and leave nothing behind."""
        early = drive_clouds(1)[0]
        early.header = header(START_NS - 10 * STEP_NS, "velodyne")
        before = len(self.labelled)

        def is_heard():
            self.move(odometry(START_NS - 3 * STEP_NS, truth_at(-0.3)))
            self.send(early)
            return len(self.labelled) > before

        self._peer.spin_until(lambda: self._clouds.get_subscription_count())
        self._peer.spin_until(is_heard)
        self._peer.spin_until(lambda: self.counters(lambda values: True).get("without_pose_too_old", "0") != "0")

    def wait_until_gone(self):
        self._peer.spin_until(lambda: not self._clouds.get_subscription_count())

    def move(self, message):
        self._odometry.publish(deserialize_message(cdr(message), Odometry))

    def scan(self, cloud):
        """Publishes a cloud and returns it labelled."""
        self.send(cloud)
        self._peer.spin_until(lambda: self.of(cloud))
        return self.of(cloud)[0]

    def of(self, cloud):
        return [each for each in self.labelled if stamp_of(each) == stamp_of(cloud)]

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


@pytest.mark.parametrize("has_time", [False, True], ids=["single-scan weights", "weights that take the time"])
def test_the_node_labels_with_past_clouds_as_label_bag_does_from_the_same_odometry(ros, vehicle, tmp_path, has_time):
    clouds, messages = drive_clouds(5), odometry_rows(0.7)
    weights = tiny_weights_with_time(tmp_path) if has_time else tiny_weights(tmp_path)
    chosen = f"weights:={weights}" if has_time else "history:=2"  # two as well, where nothing is chosen
    node = start_node(ros, *RELIABLE, "odometry:=/odom", chosen, "pose_wait_ms:=10000.0")
    vehicle.wait_for_node()
    for _, _, message in messages:
        vehicle.move(message)
    labelled = [vehicle.scan(cloud) for cloud in clouds]

    segmenter = Segmenter.from_weights(weights, device="cpu")
    options = LabelOptions(intensity_scale=1.0, poses=PoseOptions(odometry="/odom", history=2))
    label_bag(write_bag(tmp_path / "in", clouds, messages), tmp_path / "out", segmenter, "/lidar", options)
    expected = [cloud.message for cloud in read_clouds(tmp_path / "out", "/lidar/labelled")]
    for found, wanted in zip(labelled, expected, strict=True):
        assert found.width == wanted.width
        for name in ("x", "label", "confidence"):
            np.testing.assert_array_equal(slow_column(found, name), slow_column(wanted, name))
    counters = vehicle.counters(lambda values: values["fused"] == "4")
    assert counters["history_dropped"] == "0"
    assert counters["without_pose"] == counters["without_pose_too_old"]
    assert node.stop() == 0
    assert "fused 4" in node.text()
    said = "2 past clouds (stride 1) behind each, for weights that were trained with single scans"
    assert (said in node.text()) is not has_time


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
        vehicle.spin_until(lambda cloud=cloud: vehicle.of(cloud))
    counters = vehicle.counters(lambda values: values["fused"] == "1")
    assert counters["without_pose"] == counters["without_pose_too_old"]


def test_without_odometry_clouds_are_labelled_alone_and_log_and_diagnostics_say_so(ros, vehicle):
    node = start_node(ros, *RELIABLE, "odometry:=/odometry", "history:=2")
    clouds = iter(drive_clouds(1000))

    def is_counted():
        vehicle.send(next(clouds))
        return "without_pose_never" in vehicle.counters(lambda values: True)

    vehicle.spin_until(is_counted)
    assert vehicle.counters(lambda values: True)["fused"] == "0"
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
    counters = vehicle.counters(lambda values: values["fused"] == "2")
    assert counters["history_dropped_jump"] == counters["history_dropped"] == "1"
    node.wait_for_text("the history of clouds is dropped: the pose jumps")


def test_counters_of_the_history_outlive_a_deactivation(ros, vehicle, peer):
    start_node(ros, *RELIABLE, "odometry:=/odom", "history:=1", "pose_wait_ms:=10000.0")
    clouds = drive_clouds(4)

    def change(label):
        request = ChangeState.Request()
        request.transition.label = label
        assert peer.call(ChangeState, "/segmenter/change_state", request).success

    for part in (clouds[:2], clouds[2:]):
        vehicle.wait_for_node()
        for cloud in part:
            number = clouds.index(cloud)
            vehicle.move(odometry(START_NS + number * STEP_NS, truth_at(0.1 * number)))
            vehicle.scan(cloud)
        change("deactivate")
        vehicle.wait_until_gone()
        change("activate")
    vehicle.counters(lambda values: values["fused"] == "2")


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
    clouds = iter(enumerate(drive_clouds(1000)))

    def is_fused():
        number, cloud = next(clouds)
        moved = transforms((START_NS + number * STEP_NS, truth_at(0.1 * number), "odom", "velodyne"))
        publisher.publish(deserialize_message(cdr(moved), TFMessage))
        vehicle.send(cloud)
        return vehicle.counters(lambda values: True).get("fused", "0") != "0"

    vehicle.spin_until(is_fused)


def test_a_history_without_a_source_of_poses_is_said(ros):
    node = start_node(ros, "history:=2")
    node.wait_for_text("parameter history is 2, but no poses come: clouds are labelled alone; parameter odometry or")


class Asked(OdometryPoses):
    """Odometry that says when somebody asks."""

    def __init__(self):
        super().__init__("/odom", PoseLimits())
        self.was_asked = Event()

    def pose(self, stamp_ns, frame):
        self.was_asked.set()
        return super().pose(stamp_ns, frame)


def test_a_pose_that_comes_while_a_cloud_waits_is_taken():
    source = Asked()
    source.add(odometry(START_NS, pose_at(0)))
    poses, found = WaitingPoses(source, wait_s=10**6), []
    waiting = Thread(target=lambda: found.append(poses.pose(START_NS + STEP_NS, "velodyne")), daemon=True)
    waiting.start()
    source.was_asked.wait()
    with poses.feeding():  # it has the lock until it waits
        source.add(odometry(START_NS + STEP_NS, pose_at(1)))
    waiting.join(DEADLINE_S)
    np.testing.assert_allclose(found[0], pose_at(1), atol=1e-12)


def test_waiting_ends_and_poses_that_never_come_are_waited_for_once():
    source = OdometryPoses("/odom", PoseLimits())
    poses = WaitingPoses(source, wait_s=0.01)
    with pytest.raises(NoPoseError):
        poses.pose(START_NS, "velodyne")
    poses._wait_s = 10**6
    with pytest.raises(NoPoseError) as caught:
        poses.pose(START_NS, "velodyne")
    assert caught.value.reason == "never"
    source.add(odometry(START_NS, pose_at(0)))
    with pytest.raises(NoPoseError) as caught:
        WaitingPoses(source, wait_s=0.01).pose(START_NS + STEP_NS, "velodyne")
    assert caught.value.reason == "late"
    assert "older than the cloud" in str(caught.value)
    assert "(after 10 ms of waiting, more with a larger pose_wait_ms)" in str(caught.value)


def test_after_a_wait_in_vain_nothing_waits_until_the_source_hears_something():
    source = OdometryPoses("/odom", PoseLimits())
    source.add(odometry(START_NS, pose_at(0)))
    poses = WaitingPoses(source, wait_s=0.01)
    with pytest.raises(NoPoseError):
        poses.pose(START_NS + STEP_NS, "velodyne")
    poses._wait_s = 10**6
    for number in (1, 2):  # the clouds behind the first one
        with pytest.raises(NoPoseError) as caught:
            poses.pose(START_NS + number * STEP_NS, "velodyne")
        assert caught.value.reason == "late"
    with poses.feeding():
        pass
    poses._wait_s, start = 0.05, time.monotonic()
    with pytest.raises(NoPoseError):
        poses.pose(START_NS + STEP_NS, "velodyne")
    assert time.monotonic() - start >= 0.05
