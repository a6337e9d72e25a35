"""A labelled bag becomes a sequence that people correct and networks learn from."""

import json
import sqlite3
import sys

import numpy as np
import pytest
from bags import START_NS, STEP_NS, clouds_of, file_of, points_of, write_drive
from pose_messages import drive_clouds, odometry_rows, transforms, truth_at, write_bag
from ros_clouds import rosbags_cloud, slow_column, xyzi_cloud
from ros_weights import tiny_weights

from pvd_core.borders.errors import UserError
from pvd_core.clouds.measured import is_measured
from pvd_core.clouds.mounting import Mounting
from pvd_core.clouds.poses import frame_poses, sensor_poses
from pvd_core.segmenter import Segmenter
from pvd_core.taxonomy import SEMANTICKITTI
from pvd_ros.bags import BagError, LabelOptions, PoseOptions, label_bag, read_clouds
from pvd_ros.codec import stamp_of
from pvd_ros.export import KISS_ICP, ScanChoice, export_bag

BAD = rosbags_cloud(fields=[("x", 0, 7, 1)], data=bytes(32))
NUM_CLOUDS = 7


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory):
    return Segmenter.from_weights(tiny_weights(tmp_path_factory.mktemp("weights")), device="cpu")


@pytest.fixture(scope="module")
def labelled(tmp_path_factory, segmenter):
    folder = tmp_path_factory.mktemp("bags")
    label_bag(write_drive(folder / "drive", clouds_of(NUM_CLOUDS)), folder / "labelled", segmenter)
    return folder / "labelled"


def labelled_clouds(bag):
    return [cloud.message for cloud in read_clouds(bag, "/lidar/labelled")]


def scan_of(folder, number):
    """(points (N, 4), raw ids (N,), confidences (N,)) of a scan."""
    name = f"{number:06d}"
    return (
        np.fromfile(folder / "velodyne" / f"{name}.bin", "<f4").reshape(-1, 4),
        np.fromfile(folder / "labels" / f"{name}.label", "<u4"),
        np.fromfile(folder / "confidence" / f"{name}.conf", "<f4"),
    )


def test_every_cloud_becomes_a_scan_with_its_points_labels_and_confidences_in_order(tmp_path, labelled):
    report = export_bag(labelled, tmp_path / "out")
    folder = tmp_path / "out/sequences/00"
    assert (report.folder, report.scans, report.found) == (folder, NUM_CLOUDS, NUM_CLOUDS)
    assert sorted(path.name for path in (tmp_path / "out").rglob("*") if path.name.startswith(".")) == []
    for number, message in enumerate(labelled_clouds(labelled)):
        points, raw_ids, confidence = scan_of(folder, number)
        measured = is_measured(points_of(number))
        np.testing.assert_array_equal(points[measured], points_of(number)[measured])
        assert not points[~measured].any()
        expected = SEMANTICKITTI.raw_from_class_ids(np.array(slow_column(message, "label")))
        np.testing.assert_array_equal(raw_ids, expected)
        np.testing.assert_array_equal(confidence, np.float32(slow_column(message, "confidence")))
    facts = json.loads((folder / "export.json").read_text())
    assert [scan["stamp_ns"] for scan in facts["scans"]] == [START_NS + n * STEP_NS for n in range(NUM_CLOUDS)]
    np.testing.assert_allclose(np.loadtxt(folder / "times.txt"), 0.1 * np.arange(NUM_CLOUDS), atol=1e-6)


def test_the_files_are_what_point_labeler_reads(tmp_path, labelled):
    """Its reader takes the n-th line of poses.txt for the n-th file of velodyne, splits lines at single blanks and at
    the colon, and wants 12 numbers in each and in Tr."""
    export_bag(labelled, tmp_path / "out", choice=ScanChoice(every=3))
    folder = tmp_path / "out/sequences/00"
    files = sorted(path.name for path in (folder / "velodyne").iterdir())
    assert files == ["000000.bin", "000001.bin", "000002.bin"]
    assert sorted(path.stem for path in (folder / "labels").iterdir()) == [name[:6] for name in files]
    lines = (folder / "poses.txt").read_text().splitlines()
    assert len(lines) == len(files)
    assert all(len([float(word) for word in line.split(" ")]) == 12 for line in lines)
    assert (folder / "calib.txt").read_text() == "Tr: 1 0 0 0 0 1 0 0 0 0 1 0\n"


def test_scans_without_known_poses_stand_apart_so_that_nothing_is_fused_wrongly(tmp_path, labelled):
    report = export_bag(labelled, tmp_path / "out")
    assert not report.has_poses
    at = frame_poses(report.folder, [f"{number:06d}" for number in range(NUM_CLOUDS)]).poses[:, :3, 3]
    distances = np.linalg.norm(at[:, None] - at[None], axis=2)[~np.eye(NUM_CLOUDS, dtype=bool)]
    assert distances.min() >= 200


def write_poses(path, poses):
    path.write_text("".join(" ".join(f"{v:.9e}" for v in pose[:3].ravel()) + "\n" for pose in poses))
    return path


def drive_poses(count):
    """A drive through a curve, far from the origin of its map."""
    poses = np.tile(np.eye(4), (count, 1, 1))
    for number, angle in enumerate(np.linspace(0.3, 0.8, count)):
        poses[number, :2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        poses[number, :3, 3] = 1000 + 2 * number, 500 - number, 3
    return poses


def relative_to_first(poses):
    return np.linalg.inv(poses[0]) @ poses


def test_poses_of_a_file_become_relative_to_the_first_scan(tmp_path, labelled):
    poses = drive_poses(NUM_CLOUDS)
    file = write_poses(tmp_path / "poses.txt", poses)
    report = export_bag(labelled, tmp_path / "out", choice=ScanChoice(every=2), poses=PoseOptions(file=str(file)))
    assert report.has_poses
    written = sensor_poses(report.folder / "poses.txt", report.folder / "calib.txt")
    np.testing.assert_allclose(written, relative_to_first(poses[::2]), atol=1e-6)
    assert any("taken for those of the sensor itself" in remark for remark in report.remarks)


def test_poses_beside_a_calib_txt_are_those_of_the_camera(tmp_path, labelled):
    tr = "0 -1 0 0 0 0 -1 -0.08 1 0 0 -0.27"
    (tmp_path / "calib.txt").write_text(f"Tr: {tr}\n")
    file = write_poses(tmp_path / "poses.txt", drive_poses(NUM_CLOUDS))
    report = export_bag(labelled, tmp_path / "out", poses=PoseOptions(file=str(file)))
    expected = sensor_poses(file, tmp_path / "calib.txt")
    written = sensor_poses(report.folder / "poses.txt", report.folder / "calib.txt")
    np.testing.assert_allclose(written, relative_to_first(expected), atol=1e-6)


def test_poses_of_all_clouds_fit_where_some_clouds_were_not_labelled(tmp_path, segmenter):
    clouds = clouds_of(4)
    clouds.insert(1, BAD)
    label_bag(write_drive(tmp_path / "drive", clouds), tmp_path / "labelled", segmenter)
    poses = drive_poses(5)
    report = export_bag(
        tmp_path / "labelled", tmp_path / "out", poses=PoseOptions(file=str(write_poses(tmp_path / "p.txt", poses)))
    )
    written = sensor_poses(report.folder / "poses.txt", report.folder / "calib.txt")
    np.testing.assert_allclose(written, relative_to_first(poses[[0, 2, 3, 4]]), atol=1e-6)
    other = write_poses(tmp_path / "other.txt", drive_poses(9))
    with pytest.raises(UserError, match=r"has 9 poses, .* has 4 labelled clouds of 5 clouds: expected a line for each"):
        export_bag(tmp_path / "labelled", tmp_path / "again", poses=PoseOptions(file=str(other)))


def test_points_and_poses_of_another_mounting_and_scale_come_to_the_networks_frame(tmp_path, segmenter):
    mounting = Mounting(3.0, 4.0, 5.0, 90.0)
    raw = [points_of(seed) * np.float32((1, 1, 1, 255)) for seed in range(2)]
    bag = write_drive(tmp_path / "drive", [xyzi_cloud(points, n) for n, points in enumerate(raw)])
    options = LabelOptions(intensity_scale=1 / 255, mounting=mounting)
    label_bag(bag, tmp_path / "labelled", segmenter, options=options)
    poses = drive_poses(2)
    report = export_bag(
        tmp_path / "labelled", tmp_path / "out", poses=PoseOptions(file=str(write_poses(tmp_path / "p.txt", poses)))
    )

    measured = [is_measured(points) for points in raw]
    scans = [scan_of(report.folder, number)[0][measured[number]] for number in range(2)]
    np.testing.assert_allclose(scans[1], mounting.apply(points_of(1))[measured[1]], atol=1e-5)
    # What stands still is at one place in the world, whether by the sensor's poses or by the exported ones.
    written = sensor_poses(report.folder / "poses.txt", report.folder / "calib.txt")
    moved = np.linalg.inv(written[0]) @ written[1]
    world = raw[1][measured[1], :3] @ poses[1][:3, :3].T + poses[1][:3, 3]
    in_first = (world - poses[0][:3, 3]) @ poses[0][:3, :3]
    in_first = mounting.apply(np.column_stack((in_first, np.ones(len(world)))).astype(np.float32))[:, :3]
    np.testing.assert_allclose(scans[1][:, :3] @ moved[:3, :3].T + moved[:3, 3], in_first, atol=1e-4)
    # And the labels are those that the network gives such scans.
    labels = SEMANTICKITTI.raw_from_class_ids(segmenter.segment(scans[1]).labels)
    assert (labels == scan_of(report.folder, 1)[1][measured[1]]).mean() > 0.99


def test_the_most_unsure_scans_are_chosen(tmp_path, labelled):
    sure = []  # of the points with a label
    for message in labelled_clouds(labelled):
        confidence, label = (np.array(slow_column(message, name)) for name in ("confidence", "label"))
        sure.append(confidence[label != 0])
    threshold = float(np.median(np.concatenate(sure)))
    shares = [float((each < threshold).mean()) for each in sure]
    assert len(set(shares)) > 3, "the test needs scans that differ"
    report = export_bag(labelled, tmp_path / "out", choice=ScanChoice(1, threshold, 2))
    facts = json.loads((report.folder / "export.json").read_text())
    chosen = [scan["cloud"] for scan in facts["scans"]]
    assert chosen == sorted(np.argsort(-np.array(shares), kind="stable")[:2])
    with pytest.raises(UserError, match="needs --scans N"):
        ScanChoice(below_confidence=0.5)


def test_a_sequence_that_is_there_is_never_replaced(tmp_path, labelled):
    report = export_bag(labelled, tmp_path / "out", choice=ScanChoice(most=1))
    before = (report.folder / "labels/000000.label").read_bytes()
    with pytest.raises(UserError, match=r"labels that people corrected are not replaced; .*free is 01"):
        export_bag(labelled, tmp_path / "out")
    assert (report.folder / "labels/000000.label").read_bytes() == before
    with pytest.raises(UserError, match="sequence 'first': expected two digits"):
        export_bag(labelled, tmp_path / "out", sequence="first")


def test_a_failed_export_leaves_nothing(tmp_path, labelled):
    def fail(done, _total):
        if done == 2:
            raise OSError(28, "No space left on device")

    with pytest.raises(UserError, match="No space left on device; free space and try again"):
        export_bag(labelled, tmp_path / "out", progress=fail)
    assert [path for path in (tmp_path / "out").rglob("*") if path.is_file()] == []


def test_bags_without_labels_are_refused_with_what_they_hold(tmp_path, labelled):
    bag = write_drive(tmp_path / "drive", clouds_of(1))
    with pytest.raises(BagError, match=r"cloud 1 on /lidar of .* has no label .* its fields are x, y, z, intensity"):
        export_bag(bag, tmp_path / "out")
    with pytest.raises(BagError, match="no topic /wrong"):
        export_bag(labelled, tmp_path / "out", topic="/wrong")
    with pytest.raises(UserError, match="was labelled with the classes of semantickitti, not semantickitti-multiscan"):
        export_bag(labelled, tmp_path / "out", taxonomy="semantickitti-multiscan")
    assert not (tmp_path / "out/sequences").exists()


def test_a_bag_without_records_is_exported_with_a_word_on_what_it_does_not_say(tmp_path, segmenter):
    bag = write_drive(tmp_path / "drive", clouds_of(2))
    label_bag(bag, tmp_path / "labelled", segmenter, options=LabelOptions(storage="sqlite3"))
    whole = export_bag(tmp_path / "labelled", tmp_path / "whole")
    assert not any("does not say" in remark for remark in whole.remarks)
    with sqlite3.connect(file_of(tmp_path / "labelled")) as database:
        database.execute("DROP TABLE pvd_records")
    report = export_bag(tmp_path / "labelled", tmp_path / "out")
    assert report.scans == 2
    assert any("does not say with which mounting" in remark for remark in report.remarks)


def test_kiss_icp_finds_how_the_sensor_moved(tmp_path, segmenter):
    pytest.importorskip("kiss_icp", reason="extra slam is not installed")
    generator = np.random.default_rng(0)
    room = generator.uniform((-30, -20, -2, 0.1), (30, 20, 6, 0.9), (20000, 4)).astype(np.float32)
    walls = np.repeat(room, 3, axis=0)
    walls[0::3, 0], walls[1::3, 1], walls[2::3, 2] = 30, 20, -2
    clouds = []
    for number in range(6):
        seen = walls[generator.permutation(len(walls))[:15000]].copy()
        seen[:, 0] -= 0.3 * number
        clouds.append(xyzi_cloud(seen, START_NS + number * STEP_NS))
    label_bag(write_drive(tmp_path / "drive", clouds), tmp_path / "labelled", segmenter)
    report = export_bag(tmp_path / "labelled", tmp_path / "out", poses=PoseOptions(file=KISS_ICP))
    written = sensor_poses(report.folder / "poses.txt", report.folder / "calib.txt")
    np.testing.assert_allclose(written[:, 0, 3], 0.3 * np.arange(6), atol=0.1)
    np.testing.assert_allclose(written[:, 1:3, 3], 0, atol=0.1)


def test_without_kiss_icp_the_extra_and_the_other_way_are_named(tmp_path, segmenter, monkeypatch):
    monkeypatch.setitem(sys.modules, "kiss_icp.config", None)
    label_bag(write_drive(tmp_path / "drive", clouds_of(2)), tmp_path / "labelled", segmenter)
    with pytest.raises(UserError, match=r"--poses kiss-icp: .*'pvd_ros\[slam\]', or give --poses FILE"):
        export_bag(tmp_path / "labelled", tmp_path / "out", poses=PoseOptions(file=KISS_ICP))


@pytest.mark.parametrize("source", [{"odometry": "/odom"}, {"fixed_frame": "odom"}])
def test_poses_by_odometry_or_tf_of_the_bag_put_scans_where_they_were(tmp_path, segmenter, source):
    clouds = drive_clouds(5)
    messages = odometry_rows(0.32)  # ends before the last cloud
    if "fixed_frame" in source:
        messages = [
            (
                "/tf",
                time_ns,
                transforms((stamp_of(each), truth_at((stamp_of(each) - START_NS) / 1e9), "odom", "velodyne")),
            )
            for _, time_ns, each in messages
        ]
    label_bag(write_bag(tmp_path / "drive", clouds, messages), tmp_path / "labelled", segmenter)
    report = export_bag(tmp_path / "labelled", tmp_path / "out", poses=PoseOptions(**source))
    assert (report.scans, report.found) == (4, 5)
    assert any("1 cloud without a pose, left out" in remark for remark in report.remarks)
    written = sensor_poses(report.folder / "poses.txt", report.folder / "calib.txt")
    truth = np.array([truth_at(0.1 * number) for number in range(4)])
    np.testing.assert_allclose(written, relative_to_first(truth), atol=1e-3)


def test_where_no_cloud_has_a_pose_the_reason_is_given(tmp_path, segmenter):
    late = [row for row in odometry_rows(30) if row[1] > START_NS + 20 * 10**9]
    label_bag(write_bag(tmp_path / "drive", drive_clouds(2), late), tmp_path / "labelled", segmenter)
    with pytest.raises(UserError, match=r"not one of the labelled clouds of .* has a pose: "):
        export_bag(tmp_path / "labelled", tmp_path / "out", poses=PoseOptions(odometry="/odom"))
