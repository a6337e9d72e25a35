"""The node through many lifecycles, and through what happens around it while it runs."""

import json

import numpy as np
import pytest
from ros_clouds import rclpy_cloud, xyzi_cloud
from ros_weights import tiny_weights

pytest.importorskip("rclpy", reason="needs rclpy: pip install 'pvd_ros[ros]' or source a ROS 2")

from lifecycle_msgs.srv import ChangeState
from sensor_msgs.msg import PointCloud2
from test_codec_outputs import odd_cloud

from pvd_ros.middleware.ros_session import qos_profile


class Manager:
    """A lifecycle manager, a sensor and a listener for one node, which `start` of the graph starts."""

    def __init__(self, ros, peer, start=None, **parameters):
        self.peer, self.weights = peer, tiny_weights(ros.folder)
        given = {"weights": self.weights, "device": "cpu", "points_in": "/lidar", "autostart": "false", **parameters}
        words = [word for name, value in given.items() for word in ("-p", f"{name}:={value}")]
        self.node = (start or ros.fork)("pvd_ros.node", "--ros-args", *words)
        self.labelled = peer.hear(PointCloud2, "/segmenter/points")
        self.sensor = self.new_sensor()

    def new_sensor(self):
        return self.peer.node.create_publisher(PointCloud2, "/lidar", qos_profile(True, 5))

    def change(self, label):
        request = ChangeState.Request()
        request.transition.label = label
        return self.peer.call(ChangeState, "/segmenter/change_state", request).success

    def answer_to(self, cloud):
        """The labelled cloud of `cloud`, sent until it is there."""
        self.labelled.clear()

        def is_answered():
            self.sensor.publish(cloud)
            self.peer.spin_until(lambda: True)
            return any(each.header == cloud.header for each in self.labelled)

        self.peer.spin_until(is_answered)
        return next(each for each in self.labelled if each.header == cloud.header)

    def cycle(self, number):
        assert self.change("configure")
        assert self.change("activate")
        self.answer_to(cloud_at(1000 + number))
        assert self.change("deactivate")
        assert self.change("cleanup")


def cloud_at(seconds, frame="roof", count=500, brightest=1):
    points = np.random.default_rng(0).uniform((-20, -20, -2, 0), (20, 20, 2, brightest), (count, 4)).astype(np.float32)
    return xyzi_cloud(points, round(seconds * 10**9), frame, build=rclpy_cloud)


def test_five_lifecycles_each_label_a_cloud(ros, peer):
    manager = Manager(ros, peer)
    for number in range(5):
        manager.cycle(number)
    assert manager.node.stop() == 0
    assert "Traceback" not in manager.node.text()


@pytest.mark.slow
def test_over_a_hundred_lifecycles_memory_stays_flat(ros, peer):
    manager, resident_mb = Manager(ros, peer, start=ros.start), []
    for number in range(100):
        manager.cycle(number)
        resident_mb.append(manager.node.resident_mb())
    early, late = np.median(resident_mb[10:20]), np.median(resident_mb[-10:])
    print(f"memory {early:.0f} to {late:.0f} MB")
    assert late < 1.05 * early
    assert manager.node.stop() == 0


def test_weights_that_are_replaced_or_spoilt_between_lifecycles_are_read_anew_or_refused(ros, peer):
    manager = Manager(ros, peer)
    manager.cycle(0)
    sound = manager.weights.read_bytes()
    manager.weights.write_bytes(sound[: len(sound) // 2])
    assert not manager.change("configure")
    manager.node.wait_for_text("tiny.safetensors")
    manager.weights.write_bytes(b"")
    assert not manager.change("configure")
    manager.weights.write_bytes(sound)
    manager.cycle(1)
    assert manager.node.stop() == 0
    assert "Traceback" not in manager.node.text()


@pytest.fixture
def active(ros, peer):
    manager = Manager(ros, peer, report_path=ros.folder / "report.json")
    assert manager.change("configure")
    assert manager.change("activate")
    yield manager
    assert manager.node.stop() == 0
    assert "Traceback" not in manager.node.text()


def test_a_sensor_that_goes_and_comes_back_is_heard_again(active):
    active.answer_to(cloud_at(1000))
    active.peer.node.destroy_publisher(active.sensor)
    active.peer.spin_until(lambda: active.peer.node.count_publishers("/lidar") == 0)
    active.sensor = active.new_sensor()
    active.answer_to(cloud_at(1001))


def test_stamps_that_jump_frames_and_layouts_that_change_are_labelled_as_they_come(active):
    for seconds, frame in ((1000, "roof"), (5, "roof"), (2_000_000_000, "left"), (0, "roof"), (1001, "")):
        assert active.answer_to(cloud_at(seconds, frame)).header.frame_id == frame
    odd = odd_cloud(build=rclpy_cloud)
    assert active.answer_to(odd).width == odd.width
    empty = rclpy_cloud(fields=(), point_step=0, stamp_ns=88)
    assert active.answer_to(empty).width == 0
    assert active.answer_to(cloud_at(1002)).width == 500


def test_a_node_that_is_activated_again_lost_nothing_meanwhile_and_keeps_its_intensity_scale(ros, peer):
    manager = Manager(ros, peer, report_path=ros.folder / "report.json")
    assert manager.change("configure")
    assert manager.change("activate")
    for number in range(7):
        manager.answer_to(cloud_at(1000 + number / 10, brightest=255))
    assert manager.change("deactivate")
    for number in range(7, 30):
        manager.sensor.publish(cloud_at(1000 + number / 10, brightest=255))
    assert manager.change("activate")
    manager.answer_to(cloud_at(1003, brightest=255))
    assert manager.node.stop() == 0
    clouds = json.loads((ros.folder / "report.json").read_text())["clouds"]
    assert (clouds["labelled"] >= 8, clouds["lost"], clouds["gaps"]) == (True, 0, 0)
    assert manager.node.text().count("which intensity scale auto chose") == 1


def test_a_listener_that_is_slow_or_gone_does_not_hold_the_node_up(active):
    """The peer hears reliably and does not spin meanwhile, so that nothing is taken from its queue."""
    active.answer_to(cloud_at(1000))
    for number in range(30):
        active.sensor.publish(cloud_at(1001 + number))
    active.answer_to(cloud_at(2000))
    active.labelled.clear()
    for subscription in list(active.peer.node.subscriptions):
        if subscription.topic_name == "/segmenter/points":
            active.peer.node.destroy_subscription(subscription)
    active.peer.spin_until(lambda: active.peer.node.count_subscribers("/segmenter/points") == 0)
    active.sensor.publish(cloud_at(2001))
    active.labelled = active.peer.hear(PointCloud2, "/segmenter/points")
    active.answer_to(cloud_at(2002))
