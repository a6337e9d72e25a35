"""Clouds from files: real ones of every kind, the ways in which files are broken, and what must not be misread."""

import contextlib
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pvd_core.clouds import CloudFileError, find_clouds, read_cloud, read_cloud_file

# Sixteenths are exact in float32.
_COORDINATES = st.integers(-3200, 3200).map(lambda sixteenths: sixteenths / 16)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    """A folder whose files each example of a property test writes anew."""
    return tmp_path_factory.mktemp("scratch")


def saved(path, array):
    """A .bin or .npy file with the array."""
    array.astype("<f4").tofile(path) if path.suffix == ".bin" else np.save(path, array)
    return path


def scan(num_points=1000, num_columns=4, seed=0):
    """Points on rings, neighbours close in space, as a sensor gives them."""
    random = np.random.default_rng(seed)
    angle = np.linspace(0, 8 * np.pi, num_points)
    table = np.zeros((num_points, num_columns), np.float32)
    table[:, 0], table[:, 1] = 20 * np.cos(angle), 20 * np.sin(angle)
    table[:, 2] = -1.7 + 0.01 * random.standard_normal(num_points)
    table[:, 3] = random.uniform(0, 1, num_points)
    table[:, 4:] = np.arange(num_points)[:, None] % 32
    return table


def test_kitti_scan_is_read_bit_for_bit(shared_data):
    path = shared_data / "semantickitti/sequences/08/velodyne/000000.bin"
    points = read_cloud(path)
    assert points.shape == (123389, 4)
    assert points.tobytes() == path.read_bytes()


def test_every_real_scan_in_kitti_format_is_accepted(shared_data):
    scans = [*sorted(shared_data.glob("*/**/velodyne/*.bin")), shared_data / "rellis3d/000104.bin"]
    assert len(scans) > 40
    for path in scans:
        points = read_cloud(path)
        assert len(points) == path.stat().st_size // 16
        assert np.abs(points[:, :3]).max() < 200


def test_five_column_scans_are_refused_as_four_columns_and_read_as_five(shared_data):
    paths = [
        shared_data / "nuscenes/five_column_LIDAR_TOP.pcd.bin",
        *sorted((shared_data / "vlp16_organised").glob("*.bin")),
    ]
    assert len(paths) == 6
    for path in paths:
        with pytest.raises(CloudFileError, match=r"look like 5 columns of float32.*--columns 5"):
            read_cloud(path)
        points = read_cloud(path, columns=5)
        assert points.tobytes() == np.fromfile(path, "<f4").reshape(-1, 5)[:, :4].tobytes()


def test_nan_points_are_kept_in_their_place(shared_data):
    path = sorted((shared_data / "vlp16_organised").glob("*.bin"))[0]
    points = read_cloud(path, columns=5)
    assert len(points) == 29184
    assert 3744 <= np.isnan(points[:, 0]).sum() <= 3848


def test_range_images_are_read_as_organised_clouds(shared_data):
    for path in sorted((shared_data / "ika_vlp32_range_images").glob("*.npy")):
        image = np.load(path)
        points = read_cloud(path, intensity_scale=1 / 255)
        assert points.shape == (32 * 240, 4)
        np.testing.assert_array_equal(points[:, :3], image[..., :3].reshape(-1, 3).astype(np.float32))
        np.testing.assert_allclose(points[:, 3], image[..., 3].reshape(-1) / 255, rtol=1e-6)
        assert points[:, 3].max() <= 1


def test_real_pcd_files_agree_with_open3d(shared_data):
    open3d = pytest.importorskip("open3d", reason="Open3D is the other reader here")
    paths = sorted((shared_data / "pcd").glob("*.pcd"))
    assert len(paths) == 5
    for path in paths:
        theirs = open3d.t.io.read_point_cloud(str(path))
        points = read_cloud(path)
        np.testing.assert_array_equal(points[:, :3], theirs.point.positions.numpy())
        if "intensity" in theirs.point:
            np.testing.assert_array_equal(points[:, 3], theirs.point["intensity"].numpy()[:, 0].astype(np.float32))
        else:
            assert not points[:, 3].any()


@pytest.mark.parametrize("suffix", ["pcd", "ply"])
@pytest.mark.parametrize("options", [{"write_ascii": True}, {}, {"compressed": True}])
def test_what_open3d_writes_is_read_back(tmp_path, suffix, options):
    open3d = pytest.importorskip("open3d", reason="Open3D writes the files here")
    table = scan(300)
    cloud = open3d.t.geometry.PointCloud(open3d.core.Tensor(np.ascontiguousarray(table[:, :3])))
    cloud.point["intensity"] = open3d.core.Tensor(np.ascontiguousarray(table[:, 3:4]))
    path = tmp_path / f"cloud.{suffix}"
    assert open3d.t.io.write_point_cloud(str(path), cloud, **options)
    # Open3D writes six digits as text.
    np.testing.assert_allclose(read_cloud(path), table, atol=1e-4)


def test_big_endian_ply_with_double_coordinates_is_read(tmp_path):
    table = np.zeros(3, dtype=[("x", ">f8"), ("intensity", "u1"), ("z", ">f8"), ("y", ">f8")])
    table["x"], table["y"], table["z"], table["intensity"] = (1, 2, 3), (4, 5, 6), (7, 8, np.nan), (0, 51, 255)
    header = (
        "ply\nformat binary_big_endian 1.0\ncomment a sensor\nelement vertex 3\nproperty double x\n"
        "property uchar intensity\nproperty double z\nproperty double y\nelement face 0\n"
        "property list uchar int vertex_indices\nend_header\n"
    )
    path = tmp_path / "cloud.ply"
    path.write_bytes(header.encode() + table.tobytes())
    expected = [(1, 4, 7, 0), (2, 5, 8, 51), (3, 6, np.nan, 255)]
    np.testing.assert_array_equal(read_cloud(path), np.array(expected, np.float32))


def test_npy_with_named_fields_and_without_intensity_is_read(tmp_path):
    named = np.zeros((2, 3), dtype=[("ring", "u2"), ("x", "f8"), ("y", "f4"), ("z", "f4"), ("reflectivity", "u2")])
    named["x"], named["reflectivity"] = 7, 300
    points = read_cloud(saved(tmp_path / "named.npy", named), intensity_scale=0.001)
    np.testing.assert_allclose(points, np.tile((7, 0, 0, 0.3), (6, 1)), rtol=1e-6)
    points = read_cloud(saved(tmp_path / "xyz.npy", np.ones((5, 3))))
    np.testing.assert_array_equal(points, np.tile((1, 1, 1, 0), (5, 1)))


def test_empty_and_one_point_files_are_clouds(tmp_path):
    assert read_cloud(saved(tmp_path / "empty.npy", np.zeros((0, 4), np.float32))).shape == (0, 4)
    for name in ("cloud.bin", "cloud.npy"):
        assert read_cloud(saved(tmp_path / name, np.ones((1, 4), np.float32))).shape == (1, 4)


@settings(max_examples=25, deadline=None)
@given(points=arrays(np.float32, st.tuples(st.integers(1, 400), st.just(4)), elements=_COORDINATES))
def test_any_four_column_cloud_is_accepted(scratch, points):
    path = scratch / "cloud.bin"
    assert read_cloud(saved(path, points)).tobytes() == points.tobytes()


@pytest.mark.parametrize("num_columns", [5, 6])
def test_more_columns_than_four_are_noticed_at_any_length(tmp_path, num_columns):
    for num_points in (400, 1000, 1234, 20000):
        path = saved(tmp_path / "cloud.bin", scan(num_points, num_columns))
        with pytest.raises(CloudFileError, match=f"{num_columns}"):
            read_cloud(path)
        assert len(read_cloud(path, columns=num_columns)) == num_points


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.bin", b"", "no bytes found, points expected"),
        ("pointer.bin", b"version https://git-lfs.github.com/spec/v1\noid", "not the file itself; .* git lfs pull"),
        ("pointer.npy", b"version https://git-lfs.github.com/spec/v1\noid", "not the file itself; .* git lfs pull"),
        ("cut.bin", bytes(30), "30 bytes found, a multiple of 16"),
        ("text.bin", b"x y z i\n" * 40, "which no LiDAR measures"),
        ("cut.npy", b"\x93NUMPY\x01\x00", "not a whole"),
        ("text.npy", b"hello", "not a whole"),
        ("text.pcd", b"hello", "no PCD header"),
        ("text.ply", b"hello", "no PLY header"),
        ("cloud.xyz", b"1 2 3", "suffix .xyz found, one of .bin, .npy, .pcd, .ply expected"),
    ],
)
def test_files_that_are_no_clouds_are_refused_with_their_name(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(CloudFileError, match=message) as caught:
        read_cloud(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("array", [np.zeros(8), np.zeros((4, 2)), np.zeros((3, 99)), np.zeros((2, 4), complex)])
def test_arrays_of_another_form_are_refused(tmp_path, array):
    with pytest.raises(CloudFileError, match=r"\(N, C\) or \(H, W, C\)"):
        read_cloud(saved(tmp_path / "cloud.npy", array))


def test_pickled_arrays_are_not_unpickled(tmp_path):
    path = tmp_path / "cloud.npy"
    np.save(path, np.array([{"x": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(CloudFileError, match=r"not a whole \.npy file of numbers"):
        read_cloud(path)


def pcd(fields="x y z", sizes="4 4 4", types="F F F", points=2, encoding="binary", body=bytes(24)):
    shape = f"WIDTH {points}\nHEIGHT 1\nPOINTS {points}"
    header = f"VERSION .7\nFIELDS {fields}\nSIZE {sizes}\nTYPE {types}\n{shape}\nDATA {encoding}\n"
    return header.encode() + body


def packed(size, body):
    """What follows the header of a compressed PCD file."""
    return len(body).to_bytes(4, "little") + size.to_bytes(4, "little") + body


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pcd(body=bytes(23)), "truncated"),
        (pcd(points=10**12), "truncated"),
        (pcd(fields="x y intensity"), "no field z"),
        (pcd(sizes="4 4"), "2 sizes"),
        (pcd(types="F F Q"), "type Q"),
        (pcd(points=-1), "-1 points"),
        (pcd(encoding="zipped"), "zipped"),
        (pcd(encoding="ascii", body=b"1 2 3 4 5"), "5 values found"),
        (pcd(encoding="ascii", body=b"1 2 3 4 5 six"), "not a number"),
        (pcd(encoding="ascii", body=b"1.0,2.0,3.0\n4.0,5.0,6.0\n"), "'1.0,2.0,3.0', .* decimal points and spaces"),
        (pcd(encoding="ascii", body=b"1,5 2 3\n4 5 6\n"), "'1,5 2 3', .* decimal points and spaces"),
        (pcd(points=1, body=bytes(12) + b"\1" * 12), "12 bytes are left over after the 1 points"),
        (pcd(points=0, body=b"\1" * 24), "24 bytes are left over after the 0 points"),
        (pcd().replace(b"WIDTH 2", b"WIDTH 3"), "WIDTH 3 and HEIGHT 1, which are 3 points, but POINTS 2"),
        (pcd("x y z X", "4 4 4 4", "F F F F", body=bytes(32)), "fields x and X found, one of them expected"),
        (pcd("x y z intensity intensity", "4 4 4 4 4", "F F F F F", body=bytes(40)), "intensity and intensity found"),
        (pcd("x y z X", "4 4 4 4", "F F F F", 1, "ascii", b"1 2 3 4"), "fields x and X found, one of them expected"),
        (pcd(encoding="binary_compressed", body=b"\x04\x00"), "truncated"),
        (pcd(encoding="binary_compressed", body=packed(24, b"\xff\xff\xff")), "broken"),
    ],
)  # fmt: skip
def test_broken_pcd_files_are_refused(tmp_path, content, message):
    path = tmp_path / "cloud.pcd"
    path.write_bytes(content)
    with pytest.raises(CloudFileError, match=message):
        read_cloud(path)


def test_an_intensity_of_another_name_is_named_and_read_if_asked_for(tmp_path):
    path = tmp_path / "cloud.pcd"
    body = np.arange(12, dtype="<f4").tobytes()
    path.write_bytes(pcd("x y z ring scalar_rcs Ambient", *[" ".join(c * 6) for c in "4F"], body=body + body[:0]))
    found = read_cloud_file(path)
    assert found.other_fields == ("scalar_rcs", "Ambient")
    assert not found.points[:, 3].any()
    found = read_cloud_file(path, intensity_field="Ambient")
    np.testing.assert_array_equal(found.points, [(0, 1, 2, 5), (6, 7, 8, 11)])
    assert found.other_fields == ("scalar_rcs",)
    with pytest.raises(CloudFileError, match=r"no field 'ambient', .*, among x, y, z, ring, scalar_rcs, Ambient"):
        read_cloud_file(path, intensity_field="ambient")
    with pytest.raises(CloudFileError, match="numbers have no names"):
        read_cloud_file(saved(tmp_path / "cloud.bin", scan()), intensity_field="Ambient")


def test_names_of_fields_are_known_in_capitals_and_with_the_prefix_of_cloudcompare(tmp_path):
    named = np.ones(5, dtype=[("X", "f4"), ("Y", "f4"), ("Z", "f4"), ("scalar_Intensities", "f4")])
    np.testing.assert_array_equal(read_cloud(saved(tmp_path / "named.npy", named)), np.ones((5, 4)))


def test_pcd_padded_by_zeros_with_several_padding_fields_is_read(tmp_path):
    path = tmp_path / "cloud.pcd"
    path.write_bytes(pcd("x y z _ _", "4 4 4 4 1", "F F F F U", 2, body=b"\x40" * 34 + bytes(4096)))
    assert read_cloud(path).shape == (2, 4)


def test_pcd_field_of_several_values_is_read_over_unless_it_is_a_coordinate(tmp_path):
    path, counts = tmp_path / "cloud.pcd", b"COUNT 1 1 1 2\nWIDTH"
    body = np.arange(10, dtype="<f4").tobytes()
    path.write_bytes(pcd("x y z normal", "4 4 4 4", "F F F F", body=body).replace(b"WIDTH", counts))
    np.testing.assert_array_equal(read_cloud(path), [(0, 1, 2, 0), (5, 6, 7, 0)])
    path.write_bytes(pcd("x y z intensity", "4 4 4 4", "F F F F", body=body).replace(b"WIDTH", counts))
    with pytest.raises(CloudFileError, match="field intensity has 2 values a point, one number expected"):
        read_cloud(path)


def ply(body, properties=("x", "y", "z"), count=2, encoding="ascii", more=""):
    names = "".join(f"property float {name}\n" for name in properties)
    return f"ply\nformat {encoding} 1.0\nelement vertex {count}\n{names}{more}end_header\n".encode() + body


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (ply(b"1 2 3\n4 5 6\n7 8 9\n"), "3 lines of data, .*, but 2 lines"),
        (ply(b"1 2 3 4\n4 5 6 7\n"), "up to 4 values, found, .* with 3 values, are declared"),
        (ply(b"1 2 3\n"), "truncated"),
        (ply(b"1;2;3\n4;5;6\n"), "'1;2;3', .* decimal points and spaces"),
        (ply(b"1 2 3 4\n4 5 6 7\n", ("x", "y", "z", "X")), "fields x and X found, one of them expected"),
        (ply(b"\1" * 36, encoding="binary_little_endian"), "12 bytes are left over after the 2 points"),
    ],
)  # fmt: skip
def test_ply_files_whose_header_does_not_fit_are_refused(tmp_path, content, message):
    path = tmp_path / "cloud.ply"
    path.write_bytes(content)
    with pytest.raises(CloudFileError, match=message):
        read_cloud(path)


def test_ply_with_faces_behind_its_vertices_is_read(tmp_path):
    path, faces = tmp_path / "cloud.ply", "element face 1\nproperty list uchar int vertex_indices\n"
    path.write_bytes(ply(b"1 2 3\n4 5 6\n3 0 1 1\n", more=faces))
    np.testing.assert_array_equal(read_cloud(path), [(1, 2, 3, 0), (4, 5, 6, 0)])
    path.write_bytes(ply(bytes(24) + b"\2" * 9, encoding="binary_little_endian", more=faces))
    assert read_cloud(path).shape == (2, 4)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ([("x", "f4"), ("y", "f4", 2), ("z", "f4")], "field y has 2 values a point, one number expected"),
        ([("x", "f4"), ("y", "f4"), ("z", "U3")], "field z has values of type <U3 a point"),
        ([("x", "f4"), ("y", "f4"), ("z", "f4"), ("i", [("a", "f4")])], "field i has values of type"),
        ([("x", "f4"), ("X", "f4"), ("y", "f4"), ("z", "f4")], "fields x and X found, one of them expected"),
    ],
)
def test_named_arrays_without_one_number_for_each_coordinate_are_refused(tmp_path, fields, message):
    with pytest.raises(CloudFileError, match=message):
        read_cloud(saved(tmp_path / "cloud.npy", np.zeros(5, fields)))


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_damaged_real_files_never_raise_anything_but_the_clear_error(shared_data, scratch, data):
    source = shared_data / data.draw(st.sampled_from(["pcd/vlp16_xyz_irade_t.pcd", "pcd/xt32_xyz_only.pcd"]))
    content = bytearray(source.read_bytes()[:20000])
    for _ in range(data.draw(st.integers(1, 5))):
        content[data.draw(st.integers(0, 600))] = data.draw(st.integers(0, 255))
    path = scratch / source.name
    path.write_bytes(content)
    with contextlib.suppress(CloudFileError):
        assert read_cloud(path).shape[1] == 4


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "cloud.bin")
    with pytest.raises(CloudFileError, match="is no regular file, such as a pipe"):
        read_cloud(tmp_path / "cloud.bin")
    (tmp_path / "b.bin").mkdir()
    with pytest.raises(CloudFileError, match="is a folder, a file expected"):
        read_cloud(tmp_path / "b.bin")


def test_links_to_a_folder_that_holds_them_are_not_followed_and_others_are(tmp_path):
    for name in ("drive/a/1.bin", "drive/b/2.bin", "other/3.bin"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    for link, target in (
        ("latest", "."),
        ("a/up", ".."),
        ("b/across", "../a"),
        ("a/across", "../b"),
        ("far", "../other"),
    ):
        (tmp_path / "drive" / link).symlink_to(target)
    found = [str(path.relative_to(tmp_path / "drive")) for path in find_clouds([tmp_path / "drive"])]
    assert found == ["a/1.bin", "a/across/2.bin", "b/2.bin", "b/across/1.bin", "far/3.bin"]


def test_folders_give_their_clouds_sorted_through_all_levels(tmp_path):
    for name in ("b/velodyne/000001.bin", "b/velodyne/000000.bin", "a.npy", "b/labels/000000.label", "notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = [str(path.relative_to(tmp_path)) for path in find_clouds([tmp_path])]
    assert found == ["a.npy", "b/velodyne/000000.bin", "b/velodyne/000001.bin"]
    with pytest.raises(CloudFileError, match=r"no \.bin, \.npy, \.pcd, \.ply file"):
        find_clouds([tmp_path / "b/labels"])
    with pytest.raises(CloudFileError, match="no such file"):
        find_clouds([tmp_path / "c"])


@pytest.mark.filterwarnings("error")
def test_numbers_that_float32_cannot_hold_are_no_measurement_and_no_warning_of_numpy(tmp_path):
    table = scan().astype(np.float64)
    table[3], table[5, 3] = 1e300, np.finfo(np.float32).max
    np.save(tmp_path / "a.npy", table)
    points = read_cloud(tmp_path / "a.npy", intensity_scale=10.0)
    assert np.isinf(points[3]).all()
    assert np.isinf(points[5, 3])
    assert len(points) == len(table)
