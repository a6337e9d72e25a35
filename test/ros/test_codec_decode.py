"""Decoding any PointCloud2 layout, against a reader that takes one value at a time."""

import struct
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ros_clouds import LETTERS, SIZES, STORE, XYZI, rclpy_cloud, rosbags_cloud, slow_column, xyzi_cloud

from pvd_core.clouds import read_cloud
from pvd_core.clouds.example import spinning_scan
from pvd_core.clouds.fields import INTENSITY_NAMES
from pvd_core.clouds.judge import options
from pvd_core.clouds.stream import CloudStream
from pvd_ros.codec import MalformedCloudError, decode

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


@st.composite
def clouds(draw):
    """Messages with fields in any order at any offset, padding in points and rows, either byte order."""
    intensity_type = draw(st.sampled_from([None, 1, 2, 3, 4, 5, 6, 7, 8]))
    wanted = [
        ("x", draw(st.sampled_from([7, 8]))),
        ("y", draw(st.sampled_from([7, 8]))),
        ("z", draw(st.sampled_from([7, 8]))),
    ]
    wanted += [("intensity", intensity_type)] if intensity_type else []
    wanted += [(f"other{i}", draw(st.integers(1, 8))) for i in range(draw(st.integers(0, 3)))]
    fields, offset = [], 0
    for name, datatype in draw(st.permutations(wanted)):
        offset += draw(st.integers(0, 5))
        fields.append((name, offset, datatype, 1))
        offset += SIZES[datatype]
    point_step = offset + draw(st.integers(0, 7))
    height, width = draw(st.sampled_from([(1, 0), (0, 3), (1, 1), (1, 7), (3, 4), (5, 1)]))
    row_step = width * point_step + draw(st.integers(0, 9))
    big_endian = draw(st.booleans())
    data = bytearray(draw(st.binary(min_size=1, max_size=64)) * (height * row_step + 1))[: height * row_step]
    order = ">" if big_endian else "<"
    numbers = st.floats(-300, 300, width=32)
    for row in range(height if width else 0):
        for column in range(width):
            for name, start, datatype, _ in fields:
                if datatype >= 7:
                    value = draw(numbers | st.just(float("nan"))) if name in "xyz" else draw(numbers)
                    struct.pack_into(
                        order + LETTERS[datatype], data, row * row_step + column * point_step + start, value
                    )
    if not height * width:
        data = b""
    return rosbags_cloud(
        fields=fields,
        data=bytes(data),
        height=height,
        width=width,
        point_step=point_step,
        row_step=row_step,
        is_bigendian=big_endian,
    )


@settings(max_examples=150, deadline=None)
@given(clouds())
def test_any_layout_decodes_to_what_a_value_by_value_reader_finds(message):
    decoded = decode(message, intensity_scale=0.5)
    assert decoded.points.shape == (message.height * message.width, 4)
    assert decoded.points.dtype == np.float32
    if not len(decoded.points):
        return
    for column, name in enumerate("xyz"):
        np.testing.assert_array_equal(decoded.points[:, column], np.array(slow_column(message, name), np.float32))
    if decoded.layout.intensity_field is not None:
        expected = np.array(slow_column(message, "intensity"), np.float32)
        np.testing.assert_array_equal(decoded.intensity, expected)
        np.testing.assert_array_equal(decoded.points[:, 3], expected * np.float32(0.5))
    else:
        assert not decoded.points[:, 3].any()


def advice_of(fields):
    """What is said of a cloud with these float32 fields, all 0 but x, y and z."""
    rows = np.zeros((3000, len(fields)), np.float32)
    rows[:, :3] = spinning_scan(3000)[:, :3]
    described = [(name, 4 * place, 7, 1) for place, name in enumerate(fields)]
    layout = {"fields": described, "point_step": 4 * len(fields), "width": 3000, "row_step": 4 * len(fields) * 3000}
    cloud = decode(rosbags_cloud(data=rows.tobytes(), **layout))
    stream = CloudStream(wording=options("intensity_field"))
    return [text for text in stream.look_at(cloud.points, cloud.layout.other_fields) if "intensity" in text]


@pytest.mark.parametrize(
    ("fields", "advice"),
    [
        ("xyz", ": the cloud is labelled as one without intensity"),
        (("x", "y", "z", "ring", "timestamp"), ": the cloud is labelled as one without intensity"),
        (("x", "y", "z", "intensity"), ": the cloud is labelled as one without intensity"),
        (("x", "y", "z", "amplitude", "t"), ": perhaps set --intensity-field amplitude, if that holds it"),
        (("x", "y", "z", "intensity", "echo", "signal"), "NAME, if one of the fields echo, signal holds it"),
    ],
)
def test_an_intensity_field_is_advised_only_where_the_cloud_has_one_that_may_be_it(fields, advice):
    (text,) = advice_of(fields)
    assert text.endswith(advice)


def test_names_of_fields_are_known_in_capitals_too():
    names = ("X", "Y", "Z", "Intensity")
    fields = [(name, 4 * place, 7, 1) for place, name in enumerate(names)]
    cloud = decode(rosbags_cloud(data=np.arange(8, dtype="<f4").tobytes(), fields=fields))
    np.testing.assert_array_equal(cloud.points, [(0, 1, 2, 3), (4, 5, 6, 7)])
    assert cloud.layout.intensity_field == "Intensity"
    with pytest.raises(MalformedCloudError, match="declared 2 times"):
        decode(rosbags_cloud(data=bytes(32), fields=[*fields[:3], ("x", 12, 7, 1)]))
    with pytest.raises(MalformedCloudError, match="no field 'intensity' as set"):
        decode(rosbags_cloud(data=bytes(32), fields=fields), intensity_field="intensity")


@pytest.mark.parametrize("build", [rosbags_cloud, rclpy_cloud])
def test_both_bindings_decode_alike(build):
    points = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    if build is rclpy_cloud:
        pytest.importorskip("rclpy")
    np.testing.assert_array_equal(decode(xyzi_cloud(points, build=build)).points, points)


def test_nan_points_are_kept_and_a_nan_intensity_reaches_the_network_as_zero():
    points = np.array([[np.nan, 1, 2, 0.5], [1, 2, 3, np.nan], [np.inf, 0, 0, np.inf]], np.float32)
    decoded = decode(xyzi_cloud(points))
    np.testing.assert_array_equal(decoded.points[:, :3], points[:, :3])
    np.testing.assert_array_equal(decoded.points[:, 3], [0.5, 0, 0])
    np.testing.assert_array_equal(decoded.intensity, points[:, 3])


def test_doubles_beyond_float32_become_infinite_without_a_warning(recwarn):
    fields = [("x", 0, 8, 1), ("y", 8, 8, 1), ("z", 16, 8, 1)]
    decoded = decode(rosbags_cloud(fields=fields, data=struct.pack("<3d", 1e300, -1e300, 1.5), width=1, point_step=24))
    assert decoded.points[0].tolist() == [np.inf, -np.inf, 1.5, 0]
    assert not recwarn.list


def test_a_count_of_zero_reads_as_one_as_in_pcl():
    fields = [(name, offset, datatype, 0) for name, offset, datatype, _ in XYZI]
    message = rosbags_cloud(fields=fields, data=struct.pack("<4f", 1, 2, 3, 0.5), width=1)
    assert decode(message).points.tolist() == [[1, 2, 3, 0.5]]


def test_the_intensity_field_can_be_named():
    fields = [*XYZI, ("reflectivity", 16, 4, 1)]
    message = rosbags_cloud(fields=fields, data=struct.pack("<4fH", 1, 2, 3, 9, 255), width=1, point_step=18)
    assert decode(message).points[0, 3] == 9
    assert decode(message, 1 / 255, intensity_field="reflectivity").points[0, 3] == pytest.approx(1)


@pytest.mark.parametrize(("first", "second"), list(pairwise(INTENSITY_NAMES)))
def test_the_same_names_of_intensity_count_in_messages_and_in_files(first, second, tmp_path):
    fields = [*XYZI[:3], (second, 16, 7, 1), (first, 12, 7, 1)]
    point = struct.pack("<5f", 1, 2, 3, 9, 255)
    assert decode(rosbags_cloud(fields=fields, data=point, width=1, point_step=20)).points[0, 3] == 9
    assert decode(rosbags_cloud(fields=fields[:4], data=point, width=1, point_step=20)).points[0, 3] == 255
    table = np.array([(1, 2, 3, 255, 9)], dtype=[(name, "f4") for name in ("x", "y", "z", second, first)])
    np.save(tmp_path / "both.npy", table)
    assert read_cloud(tmp_path / "both.npy")[0, 3] == 9


def test_an_empty_cloud_without_any_field_gives_no_points():
    decoded = decode(rosbags_cloud(fields=(), data=b"", height=0, width=0, point_step=0))
    assert decoded.points.shape == (0, 4)


def test_a_recorded_cloud_with_an_unaligned_26_byte_step_decodes():
    path = DATA / "pointcloud2_cdr" / "lidar32_step26_unaligned.bin"
    if not path.is_file():
        pytest.skip(f"needs {path.name} of the shared data")
    message = STORE.deserialize_cdr(path.read_bytes(), "sensor_msgs/msg/PointCloud2")
    decoded = decode(message, intensity_scale=1 / 255)
    assert decoded.points.shape == (64000, 4)
    assert ((decoded.points[:, 0] == 0) & (decoded.points[:, 1] == 0)).sum() == 4578
    assert decoded.intensity.max() == 255
    assert decoded.points[:, 3].max() == 1
    rows = np.random.default_rng(0).integers(0, 64000, 200)
    for column, offset in enumerate((0, 4, 8)):
        expected = [struct.unpack_from("<f", message.data, row * 26 + offset)[0] for row in rows]
        np.testing.assert_array_equal(decoded.points[rows, column], np.array(expected, np.float32))


def test_an_organised_vlp16_cloud_with_nan_decodes_in_order():
    paths = sorted((DATA / "vlp16_organised").glob("*.bin"))
    if not paths:
        pytest.skip("needs vlp16_organised of the shared data")
    raw = np.fromfile(paths[0], "<f4")
    fields = [*XYZI, ("time", 16, 7, 1)]
    decoded = decode(
        rosbags_cloud(fields=fields, data=raw.tobytes(), height=1824, width=16, point_step=20, row_step=320)
    )
    np.testing.assert_array_equal(decoded.points[:, :3], raw.reshape(-1, 5)[:, :3])
    assert np.isnan(decoded.points[:, 0]).sum() > 3000
    assert np.isfinite(decoded.points[:, 3]).all()
