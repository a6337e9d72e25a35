"""The bytes of a PointCloud2's points, and clouds made of them: some of the points, or all with more fields."""

from __future__ import annotations

from typing import Any

import numpy as np

from pvd_ros.codec.encode import CloudTypes
from pvd_ros.codec.layout import DATATYPES, CloudLayout

# What a labelled cloud takes from its input; all fields behind these are its own.
_TAKEN = ("x", "y", "z", "intensity")


def chosen_points(message: Any, layout: CloudLayout, is_chosen_N: np.ndarray, types: CloudTypes) -> Any:
    """A PointCloud2 of `types` with the chosen points of `message`, in one row: all their bytes and fields, in their
    order, under the same header. is_chosen_N: bool (N,). layout: that of `message`."""
    points = _bytes_of(message, layout)[is_chosen_N]
    return _one_of(types, message, message.fields, points, (1, len(points)))


def with_fields_of_input(message: Any, layout: CloudLayout, labelled: Any, types: CloudTypes) -> Any:
    """A PointCloud2 of `types`: the points of `message` with all their bytes and fields, and behind them those fields
    of `labelled`, the encoded cloud of the same points, that are not taken from the input.

    Fields of the input that have the name of one of these are left out of the list. The byte order is the input's.
    """
    own = [field for field in labelled.fields if field.name not in _TAKEN]
    if not own or not layout.num_points:
        return labelled
    start = min(field.offset for field in own)
    tail = np.frombuffer(labelled.data, np.uint8).reshape(layout.num_points, labelled.point_step)[:, start:]
    if message.is_bigendian:
        tail = _turned(tail, own, start)
    behind = -(-layout.point_step // 4) * 4
    points = np.zeros((layout.num_points, behind + tail.shape[1]), np.uint8)
    points[:, : layout.point_step] = _bytes_of(message, layout)
    points[:, behind:] = tail
    names = {field.name for field in own}
    fields = [field for field in message.fields if field.name not in names]
    fields += [
        types.field(name=field.name, offset=behind + field.offset - start, datatype=field.datatype, count=1)
        for field in own
    ]
    return _one_of(types, message, fields, points, (message.height, message.width))


def _bytes_of(message: Any, layout: CloudLayout) -> np.ndarray:
    """uint8 (N, point_step)."""
    shape, strides = (layout.height, layout.width, layout.point_step), (layout.row_step, layout.point_step, 1)
    if not layout.num_points:
        return np.zeros((0, layout.point_step), np.uint8)
    view = np.ndarray(shape, np.uint8, buffer=message.data, strides=strides)
    return view.reshape(layout.num_points, layout.point_step)


def _turned(tail: np.ndarray, fields: list[Any], start: int) -> np.ndarray:
    """The bytes of each field in the other order."""
    turned = tail.copy()
    for field in fields:
        size = int(DATATYPES[field.datatype][1])
        begin = field.offset - start
        turned[:, begin : begin + size] = tail[:, begin : begin + size][:, ::-1]
    return turned


def _one_of(types: CloudTypes, message: Any, fields: Any, points: np.ndarray, shape: tuple[int, int]) -> Any:
    data = types.new_data(points.size)
    np.frombuffer(data, np.uint8)[:] = points.reshape(-1)
    height, width = shape
    point_step = points.shape[1]
    return types.cloud(
        header=message.header,
        height=height,
        width=width,
        fields=list(fields),
        is_bigendian=message.is_bigendian,
        point_step=point_step,
        row_step=point_step * width,
        data=data,
        is_dense=message.is_dense,
    )
