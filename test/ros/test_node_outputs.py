"""The node's outputs: each only if somebody listens, filtered by lists of classes that change while it runs."""

import time

import numpy as np
import pytest
from ros_clouds import rclpy_cloud, slow_column
from ros_nodes import start_node
from ros_weights import tiny_committee, tiny_weights

pytest.importorskip("rclpy", reason="needs rclpy: pip install 'pvd_ros[ros]' or source a ROS 2")

from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from sensor_msgs.msg import PointCloud2
from test_codec_outputs import FIELDS, bytes_of, odd_cloud

from pvd_core.committee import segmenter_of
from pvd_core.segmenter import Segmenter
from pvd_core.taxonomy import SEMANTICKITTI
from pvd_ros.codec import decode
from pvd_ros.middleware.ros_session import qos_profile

NAMES = SEMANTICKITTI.names


class Sensor:
    """Publishes one cloud after the other until all topics have brought one with its stamp."""

    def __init__(self, peer):
        self.peer, self.stamp_ns = peer, time.time_ns()
        self.publisher = peer.node.create_publisher(PointCloud2, "/lidar", qos_profile(False, 1))

    def answers(self, *heard):
        """[input, the answer of each list of `heard` to it]."""
        sent = {}

        def is_answered():
            self.stamp_ns += 10**8
            cloud = odd_cloud(8, 60, build=rclpy_cloud)
            cloud.header.stamp.sec, cloud.header.stamp.nanosec = divmod(self.stamp_ns, 10**9)
            sent[self.stamp_ns] = cloud
            self.publisher.publish(cloud)
            self.peer.spin_until(lambda: True)
            return self.common(sent, heard) is not None

        self.peer.spin_until(is_answered)
        return self.common(sent, heard)

    @staticmethod
    def common(sent, heard):
        for stamp_ns, cloud in sent.items():
            found = [next((each for each in one if stamp_of(each) == stamp_ns), None) for one in heard]
            if all(each is not None for each in found):
                return [cloud, *found]
        return None


def stamp_of(message):
    return message.header.stamp.sec * 10**9 + message.header.stamp.nanosec


def set_parameter(peer, name, value):
    request = SetParameters.Request(parameters=[Parameter(name, value=value).to_parameter_msg()])
    return peer.call(SetParameters, "/segmenter/set_parameters", request).results[0]


def test_every_output_belongs_to_the_cloud_it_was_made_of(ros, peer):
    topics = ("points", "labels", "static", "obstacles")
    heard = [peer.hear(PointCloud2, f"/segmenter/{topic}") for topic in topics]
    node = start_node(ros, "keep_fields:=true", "entropy:=true")
    cloud, points, labels, static, obstacles = Sensor(peer).answers(*heard)

    expected = Segmenter.from_weights(tiny_weights(ros.folder), "cpu").segment(decode(cloud).points).labels
    np.testing.assert_array_equal(slow_column(points, "label"), expected)
    np.testing.assert_array_equal(slow_column(labels, "label"), expected)
    assert slow_column(labels, "confidence") == slow_column(points, "confidence")
    entropy = Segmenter.from_weights(tiny_weights(ros.folder), "cpu").segment(decode(cloud).points, True).entropy
    np.testing.assert_allclose(slow_column(points, "entropy"), entropy, atol=1e-6)
    assert [point[:25] for point in bytes_of(points)] == bytes_of(cloud)
    for output in (points, labels, static, obstacles):
        assert output.header == cloud.header
    ground = [NAMES.index(name) for name in ("road", "parking", "sidewalk", "other-ground", "terrain")]
    for output, removed in ((static, range(1, 9)), (obstacles, ground)):
        rows = zip(bytes_of(cloud), expected, strict=True)
        assert bytes_of(output) == [row for row, label in rows if label not in (0, *removed)]
        assert [field.name for field in output.fields] == [field[0] for field in FIELDS]
    assert node.stop() == 0


def test_several_weights_vote_on_each_point(ros, peer):
    points, files = peer.hear(PointCloud2, "/segmenter/points"), tiny_committee(ros.folder)
    node = start_node(ros, f"weights:={', '.join(map(str, files))}", "entropy:=true")
    cloud, found = Sensor(peer).answers(points)
    expected = segmenter_of(files, "cpu").segment(decode(cloud).points, with_entropy=True)
    np.testing.assert_array_equal(slow_column(found, "label"), expected.labels)
    np.testing.assert_allclose(slow_column(found, "confidence"), expected.confidence, atol=1e-6)
    np.testing.assert_allclose(slow_column(found, "entropy"), expected.entropy, atol=1e-6)
    assert node.stop() == 0


def test_lists_switches_and_the_threshold_change_while_the_node_runs(ros, peer):
    labels, static = (peer.hear(PointCloud2, f"/segmenter/{topic}") for topic in ("labels", "static"))
    node = start_node(ros)
    sensor = Sensor(peer)
    first = sensor.answers(labels, static)[1]
    found, counts = np.unique(slow_column(first, "label"), return_counts=True)
    most = NAMES[found[counts.argmax()]]

    assert set_parameter(peer, "static_without", [most]).successful
    assert set_parameter(peer, "min_confidence", 0.0).successful
    static.clear()
    filtered = sensor.answers(labels, static)[2]
    assert filtered.width == 480 - counts.max()
    assert set_parameter(peer, "min_confidence", 1.0).successful, "no point is so sure"
    static.clear()
    assert sensor.answers(labels, static)[2].width == 480
    assert set_parameter(peer, "outputs", ["static"]).successful
    # One that is on its way may still come.
    sensor.answers(static)
    labels.clear()
    static.clear()
    sensor.answers(static)
    assert labels == []

    refused = set_parameter(peer, "static_without", ["cars"])
    assert not refused.successful
    assert "unknown class 'cars'; did you mean 'car'?" in refused.reason
    assert "expected some of: points, labels" in set_parameter(peer, "outputs", ["labelled"]).reason
    assert not set_parameter(peer, "static_without", [1.0]).successful
    assert not set_parameter(peer, "min_confidence", 1.5).successful
    assert set_parameter(peer, "static_without", [""]).successful
    assert node.stop() == 0


@pytest.mark.parametrize(
    ("parameter", "words"),
    [
        ("static_without:=[cras]", "parameter static_without: unknown class 'cras'; did you mean 'car'?"),
        ("static_without:=[moving-car]", "unknown class 'moving-car'"),
        ("outputs:=[ponits]", "parameter outputs has 'ponits', expected some of: points, labels, static, obstacles"),
        ("outputs:=[]", "a parameter has no value; ROS reads [] as none"),
        ("outputs:=points", "parameter outputs must be a list of strings"),
    ],
)
def test_a_mistake_in_a_list_ends_the_start_with_one_message(ros, parameter, words):
    node = ros.fork("pvd_ros.node", "--ros-args", "-p", f"weights:={tiny_weights(ros.folder)}", "-p", parameter)
    assert node.wait() == 2
    assert words in node.text()
    assert "Traceback" not in node.text()
