"""Past clouds behind those of a bag, by its odometry, its TF or a poses.txt: where they lie, and what is said and
counted where there are none."""

import numpy as np
import pytest
from bags import file_of, rows_of
from moving_drive import TR, drive_scan, pose_at
from multiscan_weights import save_multiscan_weights
from pose_messages import (
    START_NS,
    STEP_NS,
    drive_clouds,
    odometry,
    odometry_rows,
    transforms,
    truth_at,
    write_bag,
    write_ros1,
)
from ros_clouds import slow_column, xyzi_cloud
from ros_weights import tiny_weights

from pvd_cli.main import run
from pvd_core.borders.errors import UserError
from pvd_core.segmenter import Segmenter
from pvd_core.taxonomy import SEMANTICKITTI_MULTISCAN
from pvd_ros.bags import BagError, LabelOptions, PoseOptions, label_bag, read_clouds

NUM_CLOUDS = 6
STREET = slice(0, 1500)  # what stands still in a scan of moving_drive
MOUNTED = pose_at(4)


class Watching:
    """A Segmenter that remembers what it was given."""

    def __init__(self, segmenter):
        self._segmenter, self.given = segmenter, []

    def segment(self, points, with_entropy=False):
        self.given.append(points)
        return self._segmenter.segment(points, with_entropy)

    def __getattr__(self, name):
        return getattr(self._segmenter, name)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Of two past scans."""
    return save_multiscan_weights(tmp_path_factory.mktemp("weights") / "many.safetensors", past_scans=2)


@pytest.fixture(scope="module")
def segmenter(weights):
    return Segmenter.from_weights(weights, device="cpu")


def labelled(segmenter, folder, messages, clouds=None, **poses):
    """(report, what the network was given for each cloud)."""
    bag = write_bag(folder / "in", clouds or drive_clouds(NUM_CLOUDS), messages)
    watching = Watching(segmenter)
    options = LabelOptions(intensity_scale=1.0, poses=PoseOptions(**poses))
    return label_bag(bag, folder / "out", watching, "/lidar", options), watching.given


def tf_rows():
    """The same drive as transforms map -> odom (still) -> base_link (moving) -> velodyne (still)."""
    to_vehicle = np.linalg.inv(MOUNTED)
    still = transforms((0, MOUNTED, "base_link", "velodyne"), (0, np.eye(4), "map", "odom"))
    moving = [
        ("/tf", ns, transforms((ns, truth_at(t) @ to_vehicle, "odom", "base_link")))
        for t in np.arange(-0.2, 0.8, 0.02)
        for ns in [START_NS + round(t * 1e9)]
    ]
    return [("/tf_static", START_NS - STEP_NS, still), *moving]


def write_poses(folder, count=NUM_CLOUDS):
    """A poses.txt of the camera with its calib.txt."""

    def row(matrix):
        return " ".join(f"{value:.9e}" for value in matrix[:3].ravel())

    lines = [row(TR @ pose_at(frame) @ np.linalg.inv(TR)) + "\n" for frame in range(count)]
    (folder / "poses.txt").write_text("".join(lines))
    (folder / "calib.txt").write_text(f"Tr: {row(TR)}\n")
    return str(folder / "poses.txt")


@pytest.mark.parametrize("source", ["odometry", "odometry of the vehicle", "frames", "file"])
def test_past_points_lie_where_the_street_is_now(segmenter, tmp_path, source):
    messages, poses = {
        "odometry": (odometry_rows(0.8), {"odometry": "/odom"}),
        "odometry of the vehicle": (
            [
                *odometry_rows(0.8, pose=lambda t: truth_at(t) @ np.linalg.inv(MOUNTED), child="base_link"),
                ("/tf_static", START_NS, transforms((0, MOUNTED, "base_link", "velodyne"))),
            ],
            {"odometry": "/odom"},
        ),
        "frames": (tf_rows(), {"fixed_frame": "map"}),
        "file": ([], {"file": write_poses(tmp_path)}),
    }[source]
    report, given = labelled(segmenter, tmp_path, messages, **poses)
    assert [len(points) // 1800 for points in given] == [1, 2, 3, 3, 3, 3]
    for frame, points in enumerate(given):
        now = drive_scan(frame)[0]
        np.testing.assert_array_equal(points[:1800], now)
        for past in np.split(points, len(points) // 1800)[1:]:
            np.testing.assert_allclose(past[STREET, :3], now[STREET, :3], atol=1e-4)
            np.testing.assert_array_equal(past[:, 3], now[:, 3])
    assert report.history["fused"] == NUM_CLOUDS - 1
    assert report.history["without_pose"] == report.history["history_dropped"] == 0


def test_a_simulated_drives_scene_lies_where_its_poses_say(segmenter, tmp_path):
    pytest.importorskip("embreex", reason="simulating needs embreex: pip install 'pvd_ros[sim]'")
    from training.simulate import Drive

    drive = Drive(3, NUM_CLOUDS, "vlp16", 0.1, tilt_deg=2.0, jitter=True)
    scene = np.random.default_rng(0).uniform((-60, -60, -2), (60, 60, 4), (500, 3))
    seen = [(scene - pose[:3, 3]) @ pose[:3, :3] for pose in map(drive.pose, range(NUM_CLOUDS))]
    points = [np.column_stack((xyz, np.full(500, 0.5))).astype(np.float32) for xyz in seen]
    stamps_ns = [START_NS + round(drive.stamp_s(index) * 1e9) for index in range(NUM_CLOUDS)]
    clouds = [xyzi_cloud(each, stamp_ns) for each, stamp_ns in zip(points, stamps_ns, strict=True)]
    messages = [("/odom", ns, odometry(ns, drive.pose(index))) for index, ns in enumerate(stamps_ns)]
    _, given = labelled(segmenter, tmp_path, messages, clouds, odometry="/odom", history=5)
    assert len(given[-1]) == NUM_CLOUDS * 500
    for past in np.split(given[-1], NUM_CLOUDS):
        np.testing.assert_allclose(past[:, :3], points[-1][:, :3], atol=1e-4)


def test_points_carry_how_many_clouds_back_they_are_where_the_weights_take_it(tmp_path):
    weights = save_multiscan_weights(tmp_path / "timed.safetensors", with_time=True, past_scans=2)
    timed = Segmenter.from_weights(weights, device="cpu")
    report, given = labelled(timed, tmp_path, odometry_rows(0.8), odometry="/odom")
    assert [points.shape[1] for points in given] == [5] * NUM_CLOUDS
    assert [points[::1800, 4].tolist() for points in given[:4]] == [[0], [0, 1], [0, 1, 2], [0, 1, 2]]
    assert report.history["fused"] == NUM_CLOUDS - 1
    _, given = labelled(timed, tmp_path / "strided", odometry_rows(0.8), odometry="/odom", history=1, history_stride=3)
    assert given[-1][::1800, 4].tolist() == [0, 3]
    _, given = labelled(timed, tmp_path / "alone", [], odometry=None, history=0)
    assert [points.shape for points in given] == [(1800, 4)] * NUM_CLOUDS


def test_only_the_newest_clouds_points_are_written_with_a_flag_for_what_moves(segmenter, tmp_path):
    labelled(segmenter, tmp_path, odometry_rows(0.8), odometry="/odom")
    for frame, cloud in enumerate(read_clouds(tmp_path / "out", "/lidar/labelled")):
        points = drive_scan(frame)[0]
        assert cloud.message.width == len(points)
        np.testing.assert_array_equal(slow_column(cloud.message, "x"), points[:, 0])
        assert set(slow_column(cloud.message, "label")) == {SEMANTICKITTI_MULTISCAN.id_of("moving-car")}
        assert set(slow_column(cloud.message, "moving")) == {1}


def test_still_classes_and_points_without_a_label_do_not_move(tmp_path):
    road = Segmenter.from_weights(save_multiscan_weights(tmp_path / "road.safetensors", "road"), device="cpu")
    points = drive_scan(0)[0]
    points[0, :3] = 0
    labelled(road, tmp_path, [], [xyzi_cloud(points, START_NS)])
    (cloud,) = read_clouds(tmp_path / "out", "/lidar/labelled")
    assert set(slow_column(cloud.message, "label")) == {0, SEMANTICKITTI_MULTISCAN.id_of("road")}
    assert set(slow_column(cloud.message, "moving")) == {0}


def test_a_history_the_weights_do_not_want_is_done_and_said(segmenter, tmp_path):
    report, given = labelled(segmenter, tmp_path, odometry_rows(0.8), odometry="/odom", history=1, history_stride=2)
    assert [len(points) // 1800 for points in given] == [1, 1, 2, 2, 2, 2]
    assert any("1 past cloud (stride 2) behind each, for weights that were trained with 2" in r for r in report.remarks)


def test_poses_without_a_history_change_nothing_and_are_said(segmenter, tmp_path):
    report, given = labelled(segmenter, tmp_path, odometry_rows(0.8), odometry="/odom", history=0)
    assert {len(points) for points in given} == {1800}
    assert not report.history
    assert any("no past clouds are put behind each" in remark for remark in report.remarks)


def jumping(t):
    pose = truth_at(t).copy()
    pose[0, 3] += 50 * (t > 0.25)
    return pose


@pytest.mark.parametrize(
    ("change", "history", "lengths"),
    [
        ("jump", {"history_dropped_jump": 1, "without_pose": 0}, [1, 2, 3, 1, 2, 3]),
        ("stamps", {"history_dropped_order": 1, "without_pose": 0}, [1, 2, 3, 1, 2, 3]),
        ("end", {"without_pose_late": 2, "history_dropped": 0}, [1, 2, 3, 3, 1, 1]),
        ("hole", {"without_pose_gap": 5, "history_dropped": 0}, [1, 1, 1, 1, 1, 1]),
        ("none", {"without_pose_never": 6, "history_dropped": 0}, [1, 1, 1, 1, 1, 1]),
        ("vehicle", {"without_pose_frame": 6, "history_dropped": 0}, [1, 1, 1, 1, 1, 1]),
        ("zero", {"without_pose_never": 6, "poses_refused": 50}, [1, 1, 1, 1, 1, 1]),
        ("mixed up", {"without_pose": 0, "poses_out_of_order": 25}, [1, 2, 3, 3, 3, 3]),
    ],
)
def test_what_is_wrong_with_poses_is_counted_and_said(segmenter, tmp_path, change, history, lengths):
    clouds, messages = drive_clouds(NUM_CLOUDS), odometry_rows(0.8)
    if change == "jump":
        messages = odometry_rows(0.8, pose=jumping)
    elif change == "stamps":
        clouds[3].header.stamp = clouds[1].header.stamp
    elif change == "end":
        messages = odometry_rows(0.32)
    elif change == "hole":
        messages = [odometry_rows(0.8)[10], *odometry_rows(0.8)[-5:]]
    elif change == "none":
        messages = [("/odom", START_NS + 100 * STEP_NS, odometry(START_NS, np.eye(4)))]
    elif change == "vehicle":
        messages = odometry_rows(0.8, child="base_link")
    elif change == "zero":
        messages = odometry_rows(0.8, quaternion=(0, 0, 0, 0))
    elif change == "mixed up":
        messages = [(topic, messages[place ^ 1][1], message) for place, (topic, _, message) in enumerate(messages)]
    report, given = labelled(segmenter, tmp_path, messages, clouds, odometry="/odom")
    assert {name: report.history.get(name, 0) for name in history} == history
    assert [len(points) // 1800 for points in given] == lengths
    assert report.labelled == NUM_CLOUDS
    if change != "mixed up":
        said = [r for r in report.remarks if "labelled alone" in r or "history of clouds is dropped" in r]
        assert len(said) == 1, report.remarks
    assert "history: " in report.text()


def test_clouds_in_another_frame_begin_a_new_history(segmenter, tmp_path):
    clouds = drive_clouds(NUM_CLOUDS)
    for cloud in clouds[3:]:
        cloud.header.frame_id = "roof"
    messages = odometry_rows(0.8, child="")
    report, given = labelled(segmenter, tmp_path, messages, clouds, odometry="/odom")
    assert report.history["history_dropped_frame"] == 1
    assert [len(points) // 1800 for points in given] == [1, 2, 3, 1, 2, 3]


def test_a_jump_in_a_file_of_poses_drops_the_history(segmenter, tmp_path):
    path = write_poses(tmp_path)
    with open(path) as file:
        lines = file.readlines()
    with open(path, "w") as file:
        file.writelines([*lines[:3], *reversed(lines[3:])])
    report, _ = labelled(segmenter, tmp_path, [], file=path, limits=slow_limits())
    assert report.history["history_dropped_jump"] == 1


def slow_limits():
    from pvd_ros.poses import PoseLimits

    return PoseLimits(max_speed=20.0)


def test_a_file_of_poses_goes_with_the_number_of_the_cloud_in_the_whole_bag(segmenter, tmp_path):
    bag = write_bag(tmp_path / "in", drive_clouds(NUM_CLOUDS))
    watching = Watching(segmenter)
    poses = PoseOptions(file=write_poses(tmp_path))
    label_bag(bag, tmp_path / "out", watching, "/lidar", LabelOptions(start_s=0.15, poses=poses))
    assert [len(points) // 1800 for points in watching.given] == [1, 2, 3, 3]
    np.testing.assert_allclose(watching.given[-1][3600:5100, :3], drive_scan(5)[0][STREET, :3], atol=1e-4)


@pytest.mark.parametrize(
    ("poses", "error", "words"),
    [
        ({"odometry": "/odom", "fixed_frame": "map"}, UserError, "--odometry and --fixed-frame each name a source"),
        ({"history": 2}, UserError, "--history 2 needs poses: give one of --odometry TOPIC"),
        ({"odometry": "odom"}, UserError, "is no topic name"),
        ({"odometry": "/odometry"}, BagError, "no topic /odometry in .* topics of that type: /odom"),
        (
            {"odometry": "/lidar"},
            BagError,
            "/lidar is sensor_msgs/msg/PointCloud2 in .* expected nav_msgs/msg/Odometry",
        ),
        ({"fixed_frame": "map"}, BagError, "--fixed-frame: no topic /tf in .* it has no topic of that type"),
        ({"odometry": "/odom", "history": 21}, UserError, "past scans are 21: expected a number of 0 to 20"),
        ({"file": "/nowhere/poses.txt"}, UserError, "/nowhere/poses.txt is missing"),
    ],
)
def test_choices_that_do_not_fit_are_refused_and_nothing_is_written(segmenter, tmp_path, poses, error, words):
    with pytest.raises(error, match=words):
        labelled(segmenter, tmp_path, odometry_rows(0.8), **poses)
    assert not (tmp_path / "out").exists()


def test_too_few_poses_in_a_file_are_refused_and_too_many_said(segmenter, tmp_path):
    for name in ("few", "many"):
        (tmp_path / name).mkdir()
    with pytest.raises(UserError, match="has 5 poses for 6 clouds: expected a line for each cloud"):
        labelled(segmenter, tmp_path / "few", [], file=write_poses(tmp_path / "few", NUM_CLOUDS - 1))
    report, _ = labelled(segmenter, tmp_path / "many", [], file=write_poses(tmp_path / "many", NUM_CLOUDS + 1))
    assert any("has 7 poses for 6 clouds: line N is taken for cloud N" in remark for remark in report.remarks)
    with pytest.raises(UserError, match="--salvage may leave clouds out"):
        LabelOptions(salvage=True, poses=PoseOptions(file="poses.txt"))


def test_a_labelling_with_past_clouds_is_continued_to_the_same_bytes(tmp_path):
    tiny = Segmenter.from_weights(tiny_weights(tmp_path), device="cpu")
    bag = write_bag(tmp_path / "in", drive_clouds(16), odometry_rows(1.8, pose=jumping))
    poses = PoseOptions(odometry="/odom", history=2)
    whole = label_bag(bag, tmp_path / "whole" / "out", tiny, "/lidar", LabelOptions(poses=poses))

    def stop(done, _total):
        if done == 14:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        label_bag(bag, tmp_path / "out", tiny, "/lidar", LabelOptions(poses=poses), stop)
    with pytest.raises(UserError, match=r"other settings \(options on poses and history\)"):
        label_bag(bag, tmp_path / "out", tiny, "/lidar", LabelOptions(resume=True))
    report = label_bag(bag, tmp_path / "out", tiny, "/lidar", LabelOptions(poses=poses, resume=True))
    assert 0 < report.resumed < 16
    assert report.history == whole.history
    assert file_of(tmp_path / "out").read_bytes() == file_of(tmp_path / "whole" / "out").read_bytes()


def test_the_command_fuses_by_odometry_and_says_what_was_dropped(weights, tmp_path, capsys):
    bag = write_bag(tmp_path / "in", drive_clouds(NUM_CLOUDS), odometry_rows(0.8, pose=jumping))
    line = ["label-bag", bag, tmp_path / "out", "--topic", "/lidar", "--weights", weights, "--odometry", "/odom"]
    assert run([str(word) for word in line]) == 0
    printed = capsys.readouterr()
    assert "history: 4 clouds with past ones behind; 1 times dropped (jump 1)" in printed.out
    assert "get single ones" not in printed.err
    assert {topic for topic, _, _ in rows_of(tmp_path / "out")} == {"/lidar", "/odom", "/lidar/labelled"}


def test_the_command_says_how_weights_of_many_scans_get_them(weights, tmp_path, capsys):
    bag = write_bag(tmp_path / "in", drive_clouds(2))
    assert run(["label-bag", str(bag), str(tmp_path / "out"), "--weights", str(weights)]) == 0
    assert "get single ones" in (said := capsys.readouterr().err)
    assert "--odometry, --fixed-frame or --poses gives what they expect" in said


@pytest.mark.parametrize("poses", [{"odometry": "/odom"}, {"fixed_frame": "map"}], ids=lambda poses: next(iter(poses)))
def test_a_bag_of_ros_1_is_fused_alike(segmenter, tmp_path, poses):
    messages = odometry_rows(0.8) if "odometry" in poses else tf_rows()
    bag = write_ros1(tmp_path / "drive.bag", drive_clouds(NUM_CLOUDS), messages)
    watching = Watching(segmenter)
    report = label_bag(bag, tmp_path / "out", watching, "/lidar", LabelOptions(poses=PoseOptions(**poses)))
    assert (report.history["fused"], report.history["without_pose"]) == (NUM_CLOUDS - 1, 0)
    np.testing.assert_allclose(watching.given[-1][1800:3300, :3], drive_scan(NUM_CLOUDS - 1)[0][STREET, :3], atol=1e-4)
