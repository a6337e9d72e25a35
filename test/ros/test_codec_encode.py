"""The labelled cloud: every input point in its order, readable by RViz and PCL."""

import struct
from types import SimpleNamespace

import numpy as np
import pytest
from ros_clouds import STORE, rclpy_cloud, rosbags_cloud, slow_column, xyzi_cloud

from pvd_core.taxonomy import SEMANTICKITTI
from pvd_ros.bags.types import rosbags_cloud_types
from pvd_ros.codec import decode, encode, rclpy_cloud_types


def segmentation_of(num_points, seed=0):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, SEMANTICKITTI.num_classes, num_points).astype(np.uint8)
    return SimpleNamespace(labels=labels, confidence=generator.random(num_points, np.float32))


def labelled(points, height=1, **settings):
    message = xyzi_cloud(points, stamp_ns=12_000_000_034, frame_id="roof", height=height)
    cloud = decode(message, **settings)
    segmentation = segmentation_of(len(points))
    return message, segmentation, encode(message, cloud, segmentation, rosbags_cloud_types(), SEMANTICKITTI)


def test_header_shape_order_and_values_come_back():
    points = np.random.default_rng(1).normal(size=(12, 4)).astype(np.float32)
    message, segmentation, output = labelled(points, height=3)
    assert output.header == message.header
    assert (output.height, output.width, output.point_step, output.row_step) == (3, 4, 28, 112)
    assert [field.name for field in output.fields] == ["x", "y", "z", "intensity", "rgb", "confidence", "label"]
    for column, name in enumerate(("x", "y", "z", "intensity")):
        np.testing.assert_array_equal(slow_column(output, name), points[:, column])
    np.testing.assert_array_equal(slow_column(output, "label"), segmentation.labels)
    np.testing.assert_array_equal(slow_column(output, "confidence"), segmentation.confidence)


def test_entropy_is_one_more_field_where_it_is_given_and_changes_no_other():
    points = np.random.default_rng(1).normal(size=(12, 4)).astype(np.float32)
    message, segmentation, without = labelled(points, height=3)
    entropy = np.random.default_rng(2).random(12, np.float32)
    given = message, decode(message), segmentation, rosbags_cloud_types(), SEMANTICKITTI, entropy
    output = encode(*given)
    assert (output.point_step, output.row_step, len(output.data)) == (32, 128, 384)
    assert [(field.name, field.offset) for field in output.fields][:-1] == [(f.name, f.offset) for f in without.fields]
    np.testing.assert_array_equal(slow_column(output, "entropy"), entropy)
    for field in without.fields:
        np.testing.assert_array_equal(slow_column(output, field.name), slow_column(without, field.name))


def test_rgb_holds_the_class_colour_as_rviz_and_pcl_read_it():
    _, segmentation, output = labelled(np.ones((40, 4), np.float32))
    for row, label in enumerate(segmentation.labels):
        blue, green, red, zero = struct.unpack_from("<4B", output.data, 28 * row + 16)
        assert [red, green, blue, zero] == [*SEMANTICKITTI.colours[label].tolist(), 0]


def test_intensity_leaves_as_it_came_whatever_the_network_sees():
    points = np.full((3, 4), 200, np.float32)
    _, _, output = labelled(points, intensity_scale=1 / 255)
    assert slow_column(output, "intensity") == [200, 200, 200]


@pytest.mark.parametrize(("bad", "dense"), [(1.0, True), (np.nan, False), (np.inf, False)])
def test_is_dense_says_whether_every_point_is_finite(bad, dense):
    points = np.ones((5, 4), np.float32)
    points[2, 1] = bad
    assert labelled(points)[2].is_dense is dense


def test_an_empty_cloud_gives_an_empty_labelled_cloud():
    message = rosbags_cloud(fields=(), data=b"", height=0, width=0, point_step=0, frame_id="roof")
    output = encode(message, decode(message), segmentation_of(0), rosbags_cloud_types(), SEMANTICKITTI)
    assert (output.height, output.width, len(output.data), len(output.fields)) == (0, 0, 0, 7)
    assert output.header.frame_id == "roof"


def test_the_labelled_cloud_survives_serialisation_in_both_bindings():
    pytest.importorskip("rclpy")
    from rclpy.serialization import serialize_message

    points = np.random.default_rng(2).normal(size=(9, 4)).astype(np.float32)
    message = xyzi_cloud(points, stamp_ns=5, build=rclpy_cloud)
    output = encode(message, decode(message), segmentation_of(9), rclpy_cloud_types(), SEMANTICKITTI)
    _, _, by_rosbags = labelled(points)
    read_back = STORE.deserialize_cdr(serialize_message(output), "sensor_msgs/msg/PointCloud2")
    assert read_back.header.stamp.nanosec == 5
    np.testing.assert_array_equal(read_back.data, by_rosbags.data)
    again = STORE.deserialize_cdr(
        STORE.serialize_cdr(by_rosbags, "sensor_msgs/msg/PointCloud2"), "sensor_msgs/msg/PointCloud2"
    )
    np.testing.assert_array_equal(again.data, read_back.data)
