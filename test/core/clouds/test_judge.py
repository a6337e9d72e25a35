"""What is not as networks expect it is named, and ordinary clouds are left in peace."""

import itertools
import time

import numpy as np
import pytest
from rosbags.typesys import Stores, get_typestore

from pvd_core.clouds import read_cloud
from pvd_core.clouds.crop import Crop
from pvd_core.clouds.example import spinning_scan
from pvd_core.clouds.intensity import certain_factor
from pvd_core.clouds.judge import judge
from pvd_core.clouds.measured import is_measured
from pvd_core.clouds.mounting import NETWORK_HEIGHT_M, Mounting
from pvd_core.clouds.stream import CloudStream
from pvd_ros.codec import decode


def kinds(points, factor=1.0):
    return [remark.kind for remark in judge(points, factor)]


@pytest.fixture(scope="module")
def scan(shared_data):
    return read_cloud(shared_data / "semantickitti/sequences/00/velodyne/000005.bin")


def changed(points, **columns):
    result = points.copy()
    for name, change in columns.items():
        column = "xyzi".index(name)
        result[:, column] = change(result[:, column])
    return result


@pytest.mark.filterwarnings("error")
def test_numbers_in_the_wrong_byte_order_are_remarked_on_without_a_warning_of_numpy(scan):
    turned = scan.byteswap()
    turned.view(np.uint32)[::10] = 0x7FA00000
    assert "units" in kinds(turned)
    assert CloudStream().look_if_due(turned)
    odd = np.where(np.arange(4) == 3, turned, scan)  # the intensity alone
    assert CloudStream().look_if_due(odd)
    assert not Crop(min_range=1.0).is_cropped(turned)[::10].any()


def with_rows(points, share, row):
    result = points.copy()
    result[: int(share * len(points))] = row
    return result


def elevation(scan):
    return np.arctan2(scan[:, 2], np.hypot(scan[:, 0], scan[:, 1]))


FAULTS = {
    "map_frame": lambda p: changed(p, x=lambda x: x + 4000, y=lambda y: y - 900),
    "units": lambda p: p * np.float32([1000, 1000, 1000, 1]),
    "unmeasured": lambda p: np.full_like(p, np.nan),
    "few_points": lambda p: p[::100],
    "rings": lambda p: changed(p, z=lambda z: 0 * z),
    "repeats": lambda p: np.tile(p[::4], (4, 1)),
    "no_intensity": lambda p: changed(p, i=lambda i: 0 * i),
    "intensity_scale": lambda p: changed(p, i=lambda i: i * 4096),
    "negative_intensity": lambda p: changed(p, i=lambda i: i - 0.5),
    "patchy_intensity": lambda p: p * np.where(np.arange(len(p)) % 2, 1, [[1], [1], [1], [0]]).T.astype(np.float32),
    "not_intensity": lambda p: changed(p, i=lambda i: np.arange(len(i)) / len(i)),
    "empty": lambda p: p[:0],
}


@pytest.mark.parametrize("kind", FAULTS)
def test_each_fault_of_a_real_scan_is_named(kind, scan):
    assert kind in kinds(FAULTS[kind](scan))


@pytest.mark.parametrize("shift", [(40, 0, 0), (30, 30, 0), (0, 60, 0), (0, 0, 20), (0, 0, -30)])
def test_a_scan_whose_sensor_is_not_at_the_origin_is_named(shift, scan):
    assert kinds(scan + np.float32([*shift, 0])) == ["map_frame"]


@pytest.mark.parametrize("metres", [5, 8, 12, -5, -8, -12])
@pytest.mark.parametrize("name", ["semantickitti/sequences/04/velodyne/000000", "nuscenes/scene-1072/velodyne/000005"])
def test_a_scan_whose_sensor_is_some_metres_before_or_behind_the_origin_is_doubted(metres, name, shared_data):
    street = read_cloud(shared_data / f"{name}.bin")
    factor = certain_factor(street[:, 3])
    along = np.roll(np.float32([metres, 0, 0, 0]), "nuscenes" in name)  # their x points to the right
    (remark,) = judge(street + along, factor)
    assert remark.kind == "origin"
    assert not remark.is_certain
    mounted = street + along + np.float32([0, 0, NETWORK_HEIGHT_M, 0])
    assert "origin" in {each.kind for each in judge(mounted, factor, Mounting(height=0.0))}


@pytest.mark.parametrize("unit", [1, 180 / np.pi])
@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_a_range_and_two_angles_are_recognised_in_any_order(unit, order, scan):
    ranges, azimuth = np.linalg.norm(scan[:, :3], axis=1), np.arctan2(scan[:, 1], scan[:, 0])
    columns = [ranges, azimuth * unit, elevation(scan) * unit]
    polar = np.stack([*(columns[place] for place in order), scan[:, 3]], axis=1).astype(np.float32)
    assert kinds(polar) == ["polar"]


@pytest.mark.parametrize(
    ("factor", "words"),
    [
        (3.28, "feet?"),
        (10, "decimetres?"),
        (39.37, "or inches?"),
        (2, "if x, y and z are metres"),
        (0.5, "if x, y and z are metres"),
    ],
)
def test_other_units_are_named_where_they_may_be_the_cause(factor, words, shared_data):
    street = read_cloud(shared_data / "semantickitti/sequences/08/velodyne/000000.bin")
    (remark,) = judge(street * np.float32([factor, factor, factor, 1]))
    assert words in remark.text
    assert remark.spoils_labels == (factor >= 10)


def test_a_few_points_repeated_many_times_do_not_count_for_all(scan):
    cloud = scan.copy()
    cloud[::3, :3] = 0, 0, -1.73
    assert "repeats" not in kinds(cloud)
    (remark,) = (each for each in judge(np.tile(scan[::4], (4, 1))) if each.kind == "repeats")
    assert remark.text.startswith("75% of the points")


@pytest.mark.parametrize("lift", [-8, -3, 1, 2.5, 5, 10])
def test_the_height_of_a_frame_above_or_below_the_ground_is_found(lift, scan):
    (remark,) = judge(scan + np.float32([0, 0, lift, 0]))
    assert float(remark.settings["mounting_height"]) == pytest.approx(1.78 - lift, abs=0.1)
    assert ("m above" in remark.text) == (lift > 1.78)


def spoiled_intensities(scan, every, value):
    return changed(scan, i=lambda i: np.where(np.arange(len(i)) % every, i, value))


@pytest.mark.parametrize(
    ("every", "value", "words"),
    [(2, 0, "of the intensities are 0"), (3, np.inf, "% of the intensities are NaN or infinite"), (2, 1, "are 1")],
)
def test_many_intensities_that_tell_nothing_are_remarked_on(every, value, words, scan):
    (remark,) = judge(spoiled_intensities(scan, every, value))
    assert remark.kind == "patchy_intensity"
    assert words in remark.text
    assert remark.settings == {"intensity_scale": "0"}


OTHER_COLUMNS = {
    "the ring": lambda p: np.floor((elevation(p) + 0.44) / 0.0077),
    "the range": lambda p: np.linalg.norm(p[:, :3], axis=1),
    "the time or azimuth": lambda p: (np.arctan2(p[:, 1], p[:, 0]) + 4) % (2 * np.pi) / 60,
    "the time or number": lambda p: np.arange(len(p)),
}


@pytest.mark.parametrize("name", OTHER_COLUMNS)
def test_a_column_that_is_no_intensity_is_recognised_and_left_out(name, scan):
    cloud = scan.copy()
    cloud[:, 3] = OTHER_COLUMNS[name](scan)
    assert any(name in remark.text for remark in judge(cloud))
    stream = CloudStream()
    assert f"is {name} of each point" in stream.decide(cloud)
    assert stream.factor == 0
    assert stream.look_at(cloud) == []


def test_labels_are_worthless_where_the_place_is_wrong_for_certain(scan):
    spoilt = {kind for kind, fault in FAULTS.items() if any(each.spoils_labels for each in judge(fault(scan)))}
    assert spoilt == {"map_frame", "units"}
    assert not any(each.spoils_labels for each in judge(FAULTS["map_frame"](scan)[:100]))


def test_no_factor_is_advised_for_negative_intensities(scan):
    assert kinds(changed(scan, i=lambda i: -i)) == ["negative_intensity"]


@pytest.mark.parametrize(
    ("cloud", "words"),
    [
        (lambda p: p * np.float32([100, 100, 100, 1]), "centimetres"),
        (lambda p: p * np.float32([1000, 1000, 1000, 1]), "millimetres"),
        (lambda p: p * np.float32([0.01, 0.01, 0.01, 1]), "within"),
        (lambda p: changed(p, z=lambda z: z + 300), "y 0, z 298 m"),
        (lambda p: with_rows(p, 0.9, 0), "90% at 0, 0, 0"),
        (lambda p: with_rows(p, 0.9, np.nan), "90% NaN or infinite"),
        (lambda p: with_rows(p, 0.06, 3e7), "6% beyond 10 km"),
        (lambda p: changed(p, i=lambda i: 0 * i + np.nan), "is NaN everywhere"),
        (lambda p: changed(p, i=lambda i: i / 90), "mostly below"),
    ],
)
def test_a_remark_says_what_was_found(cloud, words, scan):
    assert any(words in remark.text for remark in judge(cloud(scan)))


def test_no_real_street_scan_is_remarked_on(shared_data):
    for path in sorted(shared_data.glob("semantickitti/sequences/*/velodyne/*.bin")):
        assert judge(read_cloud(path)) == [], path
    for path in sorted(shared_data.glob("pandaset/sequences/*/velodyne/*.bin")):
        assert judge(read_cloud(path)) == [], path
    for path in sorted(shared_data.glob("nuscenes/*/velodyne/*.bin")):
        assert judge(read_cloud(path), 1 / 255) == [], path
    for path in sorted(shared_data.glob("ika_vlp32_range_images/*.npy")):
        assert judge(np.load(path)[..., :4].reshape(-1, 4).astype(np.float32), 1 / 255) == [], path


def test_clouds_of_one_sensor_need_not_tell_the_same_factor(shared_data):
    stream = CloudStream()
    for path in sorted(shared_data.glob("pandaset/sequences/*/velodyne/*.bin")):
        points = read_cloud(path)
        stream.decide(points)
        assert stream.look_at(points) == []
    points[:, 3] *= 2
    assert "clouds before it told that factor" in stream.look_at(points)[0]


def test_real_scans_of_other_mountings_and_scales_get_the_one_remark_that_is_true(shared_data):
    cdr = (shared_data / "pointcloud2_cdr/lidar32_step26_unaligned.bin").read_bytes()
    message = get_typestore(Stores.ROS2_HUMBLE).deserialize_cdr(cdr, "sensor_msgs/msg/PointCloud2")
    small_robot = sorted(shared_data.glob("vlp16_organised/*.bin"))[0]
    clouds = {
        "height": [
            np.fromfile(small_robot, "<f4").reshape(-1, 5)[:, :4],
            read_cloud(shared_data / "pcd/pandar128_organised_1875x128.pcd"),  # z is 0 on the ground
            decode(message).points,
        ],
        "intensity_scale": [read_cloud(shared_data / "rellis3d/000104.bin")],
    }
    for kind, scans in clouds.items():
        for points in scans:
            factor = None if kind == "intensity_scale" else certain_factor(points[is_measured(points), 3])
            assert kinds(points, factor or 1.0) == [kind]


def test_the_judge_is_quick_enough_for_a_node(scan):
    judge(scan)  # once, for what is loaded then
    spent_s = []
    for _ in range(5):
        start = time.thread_time()
        judge(scan)
        spent_s.append(time.thread_time() - start)
    # 8 ms on one core of a busy two-core machine; the rest is room for slower ones.
    assert min(spent_s) < 0.1


def test_a_remark_of_a_kind_is_made_once_a_stream(scan):
    stream, bright, quiet = CloudStream(), FAULTS["intensity_scale"](scan), scan
    assert len(stream.look_at(bright)) == 1
    assert stream.look_at(bright) == []
    assert len(stream.remarks) == 1
    stream.look_at(quiet)
    assert stream.remarks == []


def looks(stream, clouds, frames=None):
    """The numbers, from 1, of the clouds that are judged."""
    judged, found = stream.look_at, []
    number = 0
    stream.look_at = lambda *cloud: found.append(number) or judged(*cloud)
    for number, cloud in enumerate(clouds, 1):
        stream.look_if_due(cloud, (), frames[number - 1] if frames else "")
    return found


def test_of_many_like_clouds_the_first_and_then_some_are_looked_at():
    assert looks(CloudStream(), [spinning_scan(500)] * 200) == [1, 2, 3, 50, 100, 150, 200]


def test_scans_of_a_real_drive_are_like_each_other(shared_data):
    for drive, ending in (("semantickitti/sequences/00", ""), ("nuscenes/scene-1072", "")):
        paths = sorted((shared_data / drive / "velodyne").glob(f"*{ending}.bin"))[:10]
        assert looks(CloudStream(), [read_cloud(path) for path in paths]) == [1, 2, 3], drive


CHANGES = {
    "in millimetres": FAULTS["units"],
    "in centimetres": lambda p: p * np.float32([100, 100, 100, 1]),
    "off its intensity's scale": lambda p: changed(p, i=lambda i: i * 255),
    "upside down": lambda p: changed(p, z=lambda z: -z, y=lambda y: -y),
    "of a lower sensor": lambda p: changed(p, z=lambda z: z + 1),
    "moved": lambda p: p + np.float32([5, 0, 0, 0]),
    "without returns": FAULTS["unmeasured"],
    "without intensity": FAULTS["no_intensity"],
    "with many intensities 0": FAULTS["patchy_intensity"],
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_cloud_that_differs_from_those_before_it_is_looked_at_whenever_it_comes(change, scan):
    assert looks(CloudStream(), [*[scan] * 7, *[CHANGES[change](scan)] * 5, scan]) == [1, 2, 3, 8, 13]


def test_every_frame_of_a_topic_is_judged_on_its_own(scan):
    stream, other = CloudStream(), CHANGES["of a lower sensor"](scan)
    clouds, frames = [scan, other] * 6, ["top", "low"] * 6
    assert looks(stream, clouds, frames) == [1, 2, 3, 4, 5, 6]
    assert stream.look_at(other, (), "low") == []
    assert len(stream.look_at(CHANGES["of a lower sensor"](other), (), "top")) == 1


def test_made_up_names_of_frames_do_not_fill_the_memory():
    stream, cloud = CloudStream(), spinning_scan(500)
    looks(stream, [cloud] * 100, [f"frame{number}" for number in range(100)])
    assert len(stream._watched) <= 21


def test_clouds_without_measurements_use_no_looks_up(scan):
    clouds = [scan[:0]] * 4 + [scan] * 3 + [FAULTS["units"](scan)] * 2
    stream = CloudStream()
    assert looks(stream, clouds) == [1, 5, 6, 7, 8]
    assert stream.num_spoilt == 2, "a cloud like the judged one is spoilt too"


def test_the_synthetic_scan_is_an_ordinary_one():
    assert judge(spinning_scan(30_000)) == []
