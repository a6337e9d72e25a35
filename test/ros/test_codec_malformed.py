"""Messages that contradict themselves are refused with a reason; no other exception ever leaves the decoder."""

import random
import struct

import numpy as np
import pytest
from ros_clouds import HUGE, XYZI, damaged_cloud, rosbags_cloud

from pvd_core.borders.errors import UserError
from pvd_ros.codec import REASONS, MalformedCloudError, decode

POINTS = struct.pack("<8f", *range(8))


def fields_with(name, **changes):
    keys = ("name", "offset", "datatype", "count")
    return [tuple((dict(zip(keys, f, strict=True)) | (changes if f[0] == name else {})).values()) for f in XYZI]


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        ("missing_xyz", {"fields": XYZI[:2]}),
        ("missing_xyz", {"fields": ()}),
        ("duplicate_field", {"fields": [*XYZI, ("x", 12, 7, 1)]}),
        ("unknown_datatype", {"fields": fields_with("y", datatype=0)}),
        ("unknown_datatype", {"fields": fields_with("intensity", datatype=9)}),
        ("xyz_datatype", {"fields": fields_with("z", datatype=5)}),
        ("field_count", {"fields": fields_with("x", count=2)}),
        ("field_beyond_point_step", {"fields": fields_with("x", count=HUGE)}),
        ("field_beyond_point_step", {"fields": fields_with("z", offset=13)}),
        ("field_beyond_point_step", {"fields": fields_with("z", offset=HUGE)}),
        ("field_beyond_point_step", {"point_step": 15}),
        ("overlapping_fields", {"fields": fields_with("z", offset=5)}),
        ("overlapping_fields", {"fields": fields_with("intensity", offset=8)}),
        ("point_step", {"point_step": 0, "width": 2}),
        ("row_step", {"row_step": 0}),
        ("row_step", {"row_step": 31}),
        ("row_step", {"width": HUGE, "row_step": 32}),
        ("data_too_short", {"row_step": 33}),
        ("data_too_short", {"data": POINTS[:-1], "width": 2}),
        ("data_too_short", {"height": HUGE, "width": HUGE, "row_step": HUGE * 16}),
        ("data_too_long", {"data": POINTS + b"\0", "width": 2}),
        ("data_too_long", {"height": 0}),
        ("missing_intensity", {}),
    ],
)
def test_a_contradiction_is_refused_with_its_reason(reason, message):
    wanted = "ring" if reason == "missing_intensity" else ""
    with pytest.raises(MalformedCloudError) as caught:
        decode(rosbags_cloud(**({"data": POINTS} | message)), intensity_field=wanted)
    assert caught.value.reason == reason
    assert isinstance(caught.value, UserError)
    assert reason in REASONS


def test_data_that_is_no_buffer_of_bytes_is_refused():
    message = rosbags_cloud(data=POINTS)
    for data in (None, [1, 2, 3], np.zeros(8, np.float32)):
        object.__setattr__(message, "data", data)
        with pytest.raises(MalformedCloudError) as caught:
            decode(message)
        assert caught.value.reason == "data_type"


def test_the_message_names_what_was_found_and_what_was_expected():
    with pytest.raises(MalformedCloudError, match=r"31 bytes, expected height \* row_step = 32"):
        decode(rosbags_cloud(data=POINTS[:-1], width=2))


def test_ten_thousand_damaged_clouds_are_refused_or_decoded_within_bounds():
    generator = random.Random(7)
    refused = dict.fromkeys(REASONS, 0)
    decoded = 0
    for _ in range(10_000):
        message = damaged_cloud(generator)
        try:
            cloud = decode(message)
        except MalformedCloudError as error:
            refused[error.reason] += 1
        else:
            decoded += 1
            assert len(cloud.points) == message.height * message.width
            assert np.isfinite(cloud.points[:, 3]).all()
    assert decoded > 500
    for reason in REASONS.keys() - {"missing_intensity", "data_type", "unreadable_message", "too_wide"}:
        assert refused[reason] > 0, f"the fuzzer never reached {reason}"
