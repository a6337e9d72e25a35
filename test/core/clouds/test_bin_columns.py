"""Columns and type of the numbers in .bin files: as they are said, and as single files show them."""

import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pvd_core.borders.errors import UserError
from pvd_core.clouds import CloudFileError, read_cloud
from pvd_core.clouds.bin_columns import BinColumns, bin_columns


def ring(num_points=1000):
    """float32 (N, 4), neighbours close in space."""
    angle = np.linspace(0, 8 * np.pi, num_points)
    columns = (20 * np.cos(angle), 20 * np.sin(angle), np.full_like(angle, -1.7), np.cos(angle) ** 2)
    return np.stack(columns, axis=1).astype(np.float32)


@pytest.mark.parametrize("text", ["3", "3xfloat64", "4", 5, "16", "4xfloat64", "6xfloat32"])
def test_columns_are_read_and_written_the_same(text):
    columns = bin_columns(text)
    assert columns.option == str(text).removesuffix("xfloat32")
    assert bin_columns(columns.option) == columns == bin_columns(columns)


@pytest.mark.parametrize("text", ["2", "17", "", "four", "4xfloat16", "4 x float64", "-5", "4.0", "!", None])
def test_other_words_are_refused_with_an_example(text):
    with pytest.raises(UserError, match="such as 4xfloat64"):
        bin_columns(text)


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("number", [3, 4, 5, 6, 8])
@pytest.mark.parametrize("num_points", [1000, 1001, 1002, 1003, 1004])
def test_single_file_of_other_columns_is_refused_with_the_option_that_reads_it(tmp_path, wide, number, num_points):
    points, path = ring(num_points), tmp_path / "scan.bin"
    more = np.tile(np.arange(num_points)[:, None] % 32, max(0, number - 4))
    np.c_[points, more][:, :number].astype("<f8" if wide else "<f4").tofile(path)
    option = BinColumns(number, wide).option
    if option != "4":
        with pytest.raises(CloudFileError, match=f"--columns {option}$"):
            read_cloud(path)
    points[:, 3] *= number > 3
    np.testing.assert_array_equal(read_cloud(path, columns=option), points)


@pytest.mark.parametrize("wrong", ["4", "5", "6", "7", "8", "3xfloat64"])
@pytest.mark.parametrize("num_points", [100_000, 100_002, 100_800])
def test_scan_without_intensity_is_read_with_no_other_columns_than_three(tmp_path, shared_data, wrong, num_points):
    scan = sorted(shared_data.glob("semantickitti/sequences/00/velodyne/*.bin"))[0]
    xyz, path = np.fromfile(scan, "<f4").reshape(-1, 4)[:num_points, :3], tmp_path / "scan.bin"
    xyz.tofile(path)
    with pytest.raises(CloudFileError, match=r"--columns 3$"):
        read_cloud(path, columns=wrong)
    np.testing.assert_array_equal(read_cloud(path, columns=3), np.c_[xyz, np.zeros(num_points, "f4")])


@pytest.mark.parametrize("place", [(0, 0, 0), (100, 100, 100), (0, 0, -1.73)])
@pytest.mark.parametrize("num_points", [123_389, 123_388, 120_000, 100_800])
def test_pulses_without_return_say_nothing_about_columns(tmp_path, shared_data, place, num_points):
    scan = shared_data / "semantickitti/sequences/08/velodyne/000000.bin"
    path, random = tmp_path / "scan.bin", np.random.default_rng(0)
    for is_lost in (np.arange(num_points) % 2 == 1, random.random(num_points) < 0.7):
        points = np.fromfile(scan, "<f4").reshape(-1, 4)[:num_points]
        points[is_lost, :3] = place
        points.tofile(path)
        np.testing.assert_array_equal(read_cloud(path), points)


def test_second_return_that_never_came_back_is_no_second_half_of_a_row(tmp_path, shared_data):
    scan = shared_data / "semantickitti/sequences/08/velodyne/000000.bin"
    points, path = np.zeros((200_000, 4), "<f4"), tmp_path / "scan.bin"
    points[::2] = np.fromfile(scan, "<f4").reshape(-1, 4)[:100_000]
    points.tofile(path)
    np.testing.assert_array_equal(read_cloud(path), points)


def test_who_is_sure_of_the_columns_gets_them_whatever_the_numbers_look_like(tmp_path):
    path = tmp_path / "scan.bin"
    pairs = np.c_[ring(), -3 * ring()]  # eight columns, or four of two returns
    pairs.tofile(path)
    with pytest.raises(CloudFileError, match=r"sure of these, --columns 4! .*--columns 8$"):
        read_cloud(path)
    np.testing.assert_array_equal(read_cloud(path, columns="4!"), pairs.reshape(-1, 4))
    assert bin_columns("5xfloat64!").is_certain
    assert not bin_columns("5").is_certain
    path.write_bytes(bytes(30))
    with pytest.raises(CloudFileError, match="a multiple of 16"):
        read_cloud(path, columns="4!")


def test_points_in_random_order_get_the_columns_named_that_their_size_and_labels_fit(tmp_path):
    path, labels = tmp_path / "velodyne/000000.bin", tmp_path / "labels/000000.label"
    path.parent.mkdir()
    labels.parent.mkdir()
    np.random.default_rng(0).normal(0, 10, (1001, 6)).astype("<f4").tofile(path)
    with pytest.raises(CloudFileError, match=r"not clearly by its numbers, --columns 3 or 6 or 7$"):
        read_cloud(path)
    np.zeros(2002, "<u4").tofile(labels)
    with pytest.raises(CloudFileError, match=r"not clearly by its numbers, --columns 3$"):
        read_cloud(path)


def test_real_scans_as_float64_are_recognised(tmp_path, shared_data):
    for scan in sorted(shared_data.glob("semantickitti/sequences/0[0-3]/velodyne/*.bin"))[:4]:
        path = tmp_path / scan.name
        np.fromfile(scan, "<f4").astype("<f8").tofile(path)
        with pytest.raises(CloudFileError, match="--columns 4xfloat64"):
            read_cloud(path)
        assert read_cloud(path, columns="4xfloat64").tobytes() == scan.read_bytes()


@pytest.mark.parametrize(
    ("dtype", "found", "factor"),
    [
        (">f4", "float32, big endian", 1),
        (">f8", "float64, big endian", 1),
        ("<f2", "float16 or int16", 1),
        ("<i2", "float16 or int16", 100),
        ("<i4", "int32", 1000),
    ],
)
@pytest.mark.parametrize("num_points", [100_000, 100_001])
def test_numbers_of_other_types_are_named(tmp_path, shared_data, dtype, found, factor, num_points):
    scan = shared_data / "semantickitti/sequences/08/velodyne/000000.bin"
    (np.fromfile(scan, "<f4").reshape(-1, 4)[:num_points] * factor).astype(dtype).tofile(tmp_path / "scan.bin")
    with pytest.raises(CloudFileError, match=f"look like {found}, float32 or float64"):
        read_cloud(tmp_path / "scan.bin")


@given(st.binary(max_size=3000), st.sampled_from(["4", "5", "4xfloat64"]))
def test_any_bytes_are_read_or_refused(tmp_path_factory, content, columns):
    path = tmp_path_factory.getbasetemp() / "any.bin"
    path.write_bytes(content)
    with contextlib.suppress(CloudFileError):
        assert read_cloud(path, columns=columns).shape == (len(content) // bin_columns(columns).point_bytes, 4)
