"""Labelled points -> PointCloud2 with x, y, z, intensity, rgb, confidence, label (28 bytes a point); then moving, where
classes tell it, and entropy, where it is asked for, 4 bytes each."""

from __future__ import annotations

import functools
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pvd_core.taxonomy import Taxonomy
from pvd_ros.codec.decode import DecodedCloud

if TYPE_CHECKING:  # its module imports torch
    from pvd_core.segmenter import Segmentation

FLOAT32, UINT32, UINT8 = 7, 6, 2
# (name, byte offset, PointField datatype). RViz and PCL read `rgb` as 0x00RRGGBB inside a float32, `label` as uint32.
OUTPUT_FIELDS: tuple[tuple[str, int, int], ...] = (
    ("x", 0, FLOAT32),
    ("y", 4, FLOAT32),
    ("z", 8, FLOAT32),
    ("intensity", 12, FLOAT32),
    ("rgb", 16, FLOAT32),
    ("confidence", 20, FLOAT32),
    ("label", 24, UINT32),
)
POINT_STEP = 28
# Where the classes tell moving objects: 1 for these, else 0; three bytes of padding behind it.
MOVING_FIELD = ("moving", 28, UINT8)
MOVING_POINT_STEP = 32


@dataclass(frozen=True)
class CloudTypes:
    """The message classes of rclpy or of rosbags.

    cloud, field: its PointCloud2 and PointField. new_data(num_bytes): a writable buffer of the type that `data` needs.
    """

    cloud: Callable[..., Any]
    field: Callable[..., Any]
    new_data: Callable[[int], array | np.ndarray]


def rclpy_cloud_types() -> CloudTypes:
    """The message classes of rclpy."""
    from sensor_msgs.msg import PointCloud2, PointField

    # rclpy takes 0.2 ms for 2 MB of an array('B'), 137 ms for a NumPy array.
    return CloudTypes(PointCloud2, PointField, _zeroed_array)


def encode(
    message: Any,
    cloud: DecodedCloud,
    segmentation: Segmentation,
    types: CloudTypes,
    taxonomy: Taxonomy,
    entropy: np.ndarray | None = None,
) -> Any:
    """A PointCloud2 of `types` with OUTPUT_FIELDS, and MOVING_FIELD where `taxonomy` tells moving objects: the points
    of `message` in the same order, under the same header and with the same height and width.

    cloud: `message` decoded. Of `segmentation` the labels (N,) and the confidence (N,) are used.
    The intensity is as received, not as scaled for the network; the colours are those of `taxonomy`. `entropy`: float32
    (N,), written as one more field, the last one; None leaves it out.
    """
    layout, point_step = OUTPUT_FIELDS, POINT_STEP
    if taxonomy.moving:
        layout, point_step = (*layout, MOVING_FIELD), MOVING_POINT_STEP
    if entropy is not None:
        layout, point_step = (*layout, ("entropy", point_step, FLOAT32)), point_step + 4
    data = types.new_data(point_step * cloud.layout.num_points)
    packed = np.frombuffer(data, "<f4").reshape(-1, point_step // 4)
    _write_points(packed, cloud, segmentation, taxonomy)
    if entropy is not None:
        packed[:, -1] = entropy
    fields = [types.field(name=name, offset=offset, datatype=kind, count=1) for name, offset, kind in layout]
    return types.cloud(
        header=message.header,
        height=message.height,
        width=message.width,
        fields=fields,
        is_bigendian=False,
        point_step=point_step,
        row_step=point_step * message.width,
        data=data,
        # Of all four columns, for these lie in one piece: what is network input is finite anyway.
        is_dense=bool(np.isfinite(cloud.points).all()),
    )


def _write_points(packed: np.ndarray, cloud: DecodedCloud, segmentation: Segmentation, taxonomy: Taxonomy) -> None:
    """Fills the first columns of `packed`, float32 (N, 7), or more with `moving`, a view of the bytes of the message:
    copying 3 MB takes longer than packing."""
    as_integers = packed.view("<u4")
    # Four values as one: numbers are copied a row at a time, ten times as slowly.
    starts = np.dtype({"names": ["row"], "formats": ["V16"], "offsets": [0], "itemsize": packed.strides[0]})
    packed.view(starts)["row"][...] = cloud.points.astype("<f4", copy=False).view("V16")
    packed[:, 3] = cloud.intensity
    as_integers[:, 4] = _packed_colours(taxonomy).take(segmentation.labels)
    packed[:, 5] = segmentation.confidence
    as_integers[:, 6] = segmentation.labels
    if taxonomy.moving:
        as_integers[:, 7] = _is_moving(taxonomy).take(segmentation.labels)


@functools.cache
def _packed_colours(taxonomy: Taxonomy) -> np.ndarray:
    """uint32 (C,): 0x00RRGGBB of each class."""
    red, green, blue = taxonomy.colours.astype(np.uint32).T
    return (red << 16) | (green << 8) | blue


@functools.cache
def _is_moving(taxonomy: Taxonomy) -> np.ndarray:
    """uint32 (C,): 1 for classes of moving objects, else 0. Its first byte is the field."""
    return np.isin(np.arange(taxonomy.num_classes), taxonomy.moving).astype(np.uint32)


def _zeroed_array(num_bytes: int) -> array:
    return array("B", (0,)) * num_bytes
