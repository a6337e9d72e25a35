"""Clouds made of the input's own bytes: some of its points, all with more fields; and labels alone."""

import struct

import numpy as np
import pytest
from ros_clouds import rclpy_cloud, rosbags_cloud, slow_column
from test_codec_encode import segmentation_of

from pvd_core.taxonomy import SEMANTICKITTI, SEMANTICKITTI_MULTISCAN
from pvd_ros.bags.types import rosbags_cloud_types
from pvd_ros.codec import chosen_points, decode, encode, label_cloud, rclpy_cloud_types, with_fields_of_input

TYPES = rosbags_cloud_types()
# 25 bytes a point: float64 coordinates, padding, and fields that this project never reads.
FIELDS = [("t", 0, 6, 1), ("y", 5, 7, 1), ("x", 9, 7, 1), ("z", 13, 7, 1), ("ring", 18, 4, 1), ("label", 20, 2, 1)]


def odd_cloud(height=2, width=6, is_bigendian=False, build=rosbags_cloud, fields=FIELDS):
    """Rows with padding behind them, and every byte of a point another one."""
    generator = np.random.default_rng(5)
    order, rows = ">" if is_bigendian else "<", []
    for _ in range(height):
        row = b""
        for _ in range(width):
            point = bytearray(generator.bytes(25))
            struct.pack_into(f"{order}3f", point, 5, *generator.uniform(-20, 20, 3))
            row += bytes(point)
        rows.append(row + generator.bytes(7))
    return build(
        fields=fields, data=b"".join(rows), height=height, width=width, point_step=25, row_step=25 * width + 7,
        is_bigendian=is_bigendian, stamp_ns=77, frame_id="roof",
    )  # fmt: skip


def bytes_of(message):
    """The bytes of each point, cut out one by one."""
    data, step = bytes(message.data), message.point_step
    starts = [r * message.row_step + c * step for r in range(message.height) for c in range(message.width)]
    return [data[start : start + step] for start in starts]


@pytest.mark.parametrize("is_bigendian", [False, True])
def test_chosen_points_keep_all_their_bytes_their_order_and_the_header(is_bigendian):
    message = odd_cloud(is_bigendian=is_bigendian)
    chosen = np.array([i % 3 != 1 for i in range(12)])
    output = chosen_points(message, decode(message).layout, chosen, TYPES)
    assert bytes_of(output) == [each for each, is_chosen in zip(bytes_of(message), chosen, strict=True) if is_chosen]
    assert (output.height, output.width, output.row_step) == (1, 8, 200)
    assert (output.header, output.fields, output.is_bigendian) == (message.header, message.fields, is_bigendian)
    assert len(decode(output).points) == 8


def test_no_chosen_point_and_no_point_at_all_are_sound_clouds():
    message = odd_cloud()
    none = chosen_points(message, decode(message).layout, np.zeros(12, bool), TYPES)
    assert (none.width, len(none.data), len(decode(none).points)) == (0, 0, 0)
    empty = rosbags_cloud(fields=[], point_step=0)
    assert chosen_points(empty, decode(empty).layout, np.zeros(0, bool), TYPES).width == 0


@pytest.mark.parametrize("is_bigendian", [False, True])
@pytest.mark.parametrize(("build", "types"), [(rosbags_cloud, rosbags_cloud_types), (rclpy_cloud, rclpy_cloud_types)])
def test_a_labelled_cloud_can_keep_all_fields_of_its_input(is_bigendian, build, types):
    if build is rclpy_cloud:
        pytest.importorskip("rclpy")
    message = odd_cloud(is_bigendian=is_bigendian, build=build)
    cloud, segmentation = decode(message), segmentation_of(12)
    labelled = encode(message, cloud, segmentation, types(), SEMANTICKITTI)
    output = with_fields_of_input(message, cloud.layout, labelled, types())
    assert [point[:25] for point in bytes_of(output)] == bytes_of(message)
    assert [field.name for field in output.fields] == ["t", "y", "x", "z", "ring", "rgb", "confidence", "label"]
    assert (output.height, output.width, output.is_bigendian) == (2, 6, is_bigendian)
    assert slow_column(output, "ring") == slow_column(message, "ring")
    np.testing.assert_array_equal(slow_column(output, "label"), segmentation.labels)
    np.testing.assert_array_equal(slow_column(output, "confidence"), segmentation.confidence)
    assert struct.pack("<f", slow_column(output, "rgb")[3]) == struct.pack("<f", slow_column(labelled, "rgb")[3])
    np.testing.assert_array_equal(decode(output).points, cloud.points)


def test_an_empty_cloud_keeps_the_fields_of_a_labelled_one():
    empty = rosbags_cloud(fields=[], point_step=0)
    labelled = encode(empty, decode(empty), segmentation_of(0), TYPES, SEMANTICKITTI)
    assert with_fields_of_input(empty, decode(empty).layout, labelled, TYPES) is labelled


def test_labels_alone_are_five_bytes_a_point_in_the_inputs_order():
    message, segmentation = odd_cloud(), segmentation_of(12)
    output = label_cloud(message, segmentation, TYPES)
    assert (output.header, output.height, output.width, len(output.data)) == (message.header, 2, 6, 60)
    np.testing.assert_array_equal(slow_column(output, "label"), segmentation.labels)
    np.testing.assert_array_equal(slow_column(output, "confidence"), segmentation.confidence)


@pytest.mark.parametrize("taxonomy", [SEMANTICKITTI, SEMANTICKITTI_MULTISCAN])
def test_filters_leave_out_sure_points_of_their_classes_and_points_without_a_label(taxonomy):
    pytest.importorskip("rclpy", reason="the outputs publish")
    from pvd_ros.node.outputs import is_kept
    from pvd_ros.node.parameters import MOVERS

    segmentation = segmentation_of(4000)
    segmentation.labels = (np.arange(4000) % taxonomy.num_classes).astype(np.uint8)
    kept = is_kept(segmentation, taxonomy, MOVERS, 0.4)
    for label, confidence, is_there in zip(segmentation.labels, segmentation.confidence, kept, strict=True):
        moves = taxonomy.names[label].removeprefix("moving-") in MOVERS
        assert is_there == (label != 0 and not (moves and confidence >= np.float32(0.4)))
    assert is_kept(segmentation, taxonomy, [""], 0.0).sum() == (segmentation.labels > 0).sum()
