"""Where x, y, z and intensity lie inside a sensor_msgs/PointCloud2, or why the message cannot be trusted.

Every size that a message declares is checked here against the bytes it carries. The decoder trusts the result and
never reads outside the buffer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from pvd_core.borders.errors import UserError
from pvd_core.clouds.fields import INTENSITY_NAMES, may_be_intensity, plain_name

CLOUD_TYPE = "sensor_msgs/msg/PointCloud2"

# sensor_msgs/PointField datatype -> NumPy kind and bytes.
DATATYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 8: "f8"}
FLOAT_DATATYPES = (7, 8)

REASONS = {
    "missing_xyz": "a cloud with points has no field x, y or z",
    "duplicate_field": "x, y, z or intensity is declared twice",
    "unknown_datatype": "a field's datatype is none of the eight of sensor_msgs/PointField",
    "xyz_datatype": "x, y or z is not float32 or float64",
    "field_count": "x, y, z or intensity holds more than one value a point",
    "point_step": "point_step is 0",
    "field_beyond_point_step": "a field ends beyond point_step",
    "overlapping_fields": "two of x, y, z and intensity share bytes",
    "row_step": "row_step is shorter than width * point_step",
    "data_too_short": "data holds fewer bytes than height * row_step",
    "data_too_long": "data holds more bytes than height * row_step",
    "data_type": "data is not a buffer of bytes",
    "unreadable_message": "the bytes in the bag are not a serialised PointCloud2",
    "missing_intensity": "the intensity field that was asked for is not in the cloud",
    "too_wide": "points reach so far that the network's voxels cannot be numbered there",
}
"""Why a cloud is rejected: {name of the counter: meaning}."""


class MalformedCloudError(UserError):
    """A PointCloud2 that contradicts itself, or reaches too far. `reason` is a key of REASONS, for counters."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class CloudLayout:
    """A checked layout. The steps are in bytes: from point to point and from row to row.

    columns: maps x, y, z and (if present) intensity to (byte offset in a point, NumPy dtype).
    intensity_field: name of the field that holds the intensity, None if there is none. other_fields: names of those
    that might hold it besides.
    """

    height: int
    width: int
    point_step: int
    row_step: int
    columns: dict[str, tuple[int, np.dtype]]
    intensity_field: str | None
    other_fields: tuple[str, ...] = ()

    @property
    def num_points(self) -> int:
        """Points of the cloud, invalid ones included."""
        return self.height * self.width


def check_intensity_field(name: str) -> None:
    """UserError for a field that holds no intensity: a coordinate. "" stands for any."""
    if name in ("x", "y", "z"):
        raise UserError(f"intensity field {name!r} is a coordinate: name the field that holds intensity, or none")


def read_layout(message: Any, intensity_field: str = "") -> CloudLayout:
    """The layout of `message`, a PointCloud2; MalformedCloudError if it contradicts itself.

    intensity_field: name of the field that holds the intensity; "" takes the first of INTENSITY_NAMES in the cloud.
    Upper and lower case of x, y, z and these are alike.
    """
    num_points = message.height * message.width
    num_bytes = _num_bytes(message.data)
    if num_points == 0:
        # Drivers publish empty clouds without fields while a sensor starts. That is no error.
        _check_data_size(num_bytes, 0)
        return CloudLayout(message.height, message.width, message.point_step, 0, {}, None)
    _check_every_field(message)
    fields = _chosen_fields(message.fields, intensity_field)
    _check_chosen_fields(fields)
    _check_rows(message, num_bytes)
    order = ">" if message.is_bigendian else "<"
    columns = {name: (field.offset, np.dtype(order + DATATYPES[field.datatype])) for name, field in fields.items()}
    intensity = fields.get("intensity")
    return CloudLayout(
        message.height,
        message.width,
        message.point_step,
        message.row_step,
        columns,
        intensity.name if intensity else None,
        tuple(
            field.name
            for field in message.fields
            if field.count <= 1 and may_be_intensity(field.name) and field is not intensity
        ),
    )


def _num_bytes(data: Any) -> int:
    try:
        view = memoryview(data)
    except TypeError as error:
        raise MalformedCloudError(
            "data_type", f"data is a {type(data).__name__}, expected a buffer of bytes"
        ) from error
    if view.itemsize != 1 or not view.c_contiguous:
        raise MalformedCloudError(
            "data_type",
            f"data has items of {view.itemsize} bytes (format {view.format!r}), expected single bytes in a row",
        )
    return view.nbytes


def _check_every_field(message: Any) -> None:
    """Checks also the fields that are not read: a message that is wrong about one of them may be wrong about others."""
    if message.point_step == 0:
        raise MalformedCloudError("point_step", "point_step is 0, expected the bytes of one point")
    for field in message.fields:
        if field.datatype not in DATATYPES:
            raise MalformedCloudError(
                "unknown_datatype",
                f"field {field.name!r} has datatype {field.datatype}, expected 1 (int8) to 8 (float64)",
            )
        end = field.offset + max(field.count, 1) * _size_of(field)
        if end > message.point_step:
            raise MalformedCloudError(
                "field_beyond_point_step",
                f"field {field.name!r} ends at byte {end} of a point, but point_step is {message.point_step}",
            )


def _chosen_fields(fields: Sequence[Any], intensity_field: str) -> dict[str, Any]:
    """{"x": field, "y": ..., "z": ..., "intensity": ... if there is one}."""
    chosen = {}
    names = [field.name for field in fields]
    known = {plain_name(name) for name in names}
    intensity_name = intensity_field or next((name for name in INTENSITY_NAMES if name in known), None)
    if intensity_field and intensity_field not in names:
        raise MalformedCloudError(
            "missing_intensity",
            f"no field {intensity_field!r} as set by intensity_field; the cloud has: {_listed(names)}",
        )
    for role, name in (("x", "x"), ("y", "y"), ("z", "z"), ("intensity", intensity_name)):
        # Only a field that was named is to be spelled as it is.
        is_exact = role == "intensity" and intensity_field
        found = [field for field in fields if (field.name if is_exact else plain_name(field.name)) == name]
        if len(found) > 1:
            raise MalformedCloudError(
                "duplicate_field", f"field {name!r} is declared {len(found)} times, expected once"
            )
        if found:
            chosen[role] = found[0]
        elif role != "intensity":
            raise MalformedCloudError("missing_xyz", f"no field {name!r}; the cloud has: {_listed(names)}")
    return chosen


def _check_chosen_fields(fields: Mapping[str, Any]) -> None:
    for role, field in fields.items():
        # PCL takes a count of 0 for 1, and some drivers write 0.
        if field.count > 1:
            raise MalformedCloudError(
                "field_count",
                f"field {field.name!r} has {field.count} values a point, expected 1 (count 1, or 0 as PCL has it)",
            )
        if role != "intensity" and field.datatype not in FLOAT_DATATYPES:
            raise MalformedCloudError(
                "xyz_datatype",
                f"field {field.name!r} has datatype {DATATYPES[field.datatype]}, expected float32 (7) or float64 (8): "
                "nothing says what unit integers count; convert them to metres",
            )
    in_order = sorted(fields.values(), key=lambda field: field.offset)
    for first, second in pairwise(in_order):
        if first.offset + _size_of(first) > second.offset:
            raise MalformedCloudError(
                "overlapping_fields",
                f"fields {first.name!r} (offset {first.offset}, {_size_of(first)} bytes) and "
                f"{second.name!r} (offset {second.offset}) share bytes",
            )


def _check_rows(message: Any, num_bytes: int) -> None:
    used = message.width * message.point_step
    if message.row_step < used:
        raise MalformedCloudError(
            "row_step", f"row_step is {message.row_step}, expected at least width * point_step = {used}"
        )
    _check_data_size(num_bytes, message.height * message.row_step)


def _check_data_size(num_bytes: int, declared: int) -> None:
    if num_bytes != declared:
        reason = "data_too_short" if num_bytes < declared else "data_too_long"
        raise MalformedCloudError(reason, f"data holds {num_bytes} bytes, expected height * row_step = {declared}")


def _size_of(field: Any) -> int:
    return int(DATATYPES[field.datatype][1])


def _listed(names: list[str]) -> str:
    return ", ".join(names[:20]) or "no fields"
