"""Player, node and recorder exchange real messages over Fast DDS: what goes in comes out labelled."""

import json

import numpy as np
import pytest
from ros_clouds import rosbags_cloud, slow_column, xyzi_cloud
from ros_processes import DEADLINE_S, graph
from ros_weights import tiny_weights

pytest.importorskip("rclpy", reason="needs rclpy: pip install 'pvd_ros[ros]' or source a ROS 2")

from ros_peer import peer_of
from sensor_msgs.msg import PointCloud2

from pvd_core.segmenter import Segmenter
from pvd_ros.bags import BagWriter, read_clouds
from pvd_ros.codec import decode, stamp_of

TOPIC = "/lidar"
GAP_NS = 1_000_000_000  # longer than a busy machine takes for one cloud of the tiny network


def street(seed, count=2000):
    generator = np.random.default_rng(seed)
    points = generator.uniform((-30, -30, -2, 0), (30, 30, 2, 1), (count, 4)).astype(np.float32)
    points[::31] = np.nan
    points[7] = 0
    return points


def write_bag(path, clouds, gap_ns=GAP_NS):
    with BagWriter(path) as bag:
        for index, cloud in enumerate(clouds):
            bag.write_cloud(TOPIC, cloud, index * gap_ns)
    return path


def run_drive(folder, bag, *player_options, expected, node_options=(), record_options=()):
    """(labelled clouds, node's report, player's report) of one bag played through the node, which labels `expected`."""
    weights = tiny_weights(folder)
    with graph(folder) as ros:
        record = ["--topic", "/segmenter/points", "--max-clouds", expected, "--timeout", DEADLINE_S, *record_options]
        recorder = ros.fork("pvd_ros.record", folder / "out", *record, ready="recording")
        node = start_node(ros, weights, node_options)
        recorder.wait_for_text("hearing")
        play = ["--topic", TOPIC, "--wait-for-subscribers", "1", "--report", folder / "play.json", *player_options]
        player = ros.fork("pvd_ros.play", bag, *play)
        assert player.wait() == 0, player.text()
        assert recorder.wait() == 0, recorder.text()
        assert node.stop() == 0, node.text()
        assert "Traceback" not in node.text()
    clouds = [cloud.message for cloud in read_clouds(folder / "out", "/segmenter/points")]
    return clouds, json.loads((folder / "node.json").read_text()), json.loads((folder / "play.json").read_text())


def start_node(ros, weights, options):
    options = [f"points_in:={TOPIC}", f"weights:={weights}", f"report_path:={ros.folder / 'node.json'}", *options]
    arguments = ["--ros-args", *(word for option in ["always_label:=true", *options] for word in ("-p", option))]
    return ros.fork("pvd_ros.node", *arguments, ready="labelling")


def accounted_for(counts):
    return counts["labelled"] + counts["dropped"] + counts["rejected"] + counts["skipped"]


def test_every_cloud_comes_out_with_its_stamp_frame_order_count_and_the_segmenters_labels(tmp_path):
    stamps = [1_700_000_000_000_000_000 + index * GAP_NS for index in range(6)]
    inputs = [
        xyzi_cloud(street(index), stamp_ns=stamp, frame_id=f"roof_{index % 2}", height=1 + index % 2)
        for index, stamp in enumerate(stamps)
    ]
    bag = write_bag(tmp_path / "in", inputs)
    options = ("input_reliability:=reliable",)
    play = ("--keep-stamps", "--reliable")
    outputs, report, _ = run_drive(tmp_path, bag, *play, node_options=options, expected=6)
    assert [stamp_of(output) for output in outputs] == stamps
    segmenter = Segmenter.from_weights(tmp_path / "tiny.safetensors", device="cpu")
    for output, given in zip(outputs, inputs, strict=True):
        points = decode(given).points
        expected = segmenter.segment(points)
        assert output.header == given.header
        assert (output.height, output.width) == (given.height, given.width)
        for name in ("x", "y", "z", "intensity"):
            np.testing.assert_array_equal(slow_column(output, name), slow_column(given, name))
        np.testing.assert_array_equal(slow_column(output, "label"), expected.labels)
        np.testing.assert_allclose(slow_column(output, "confidence"), expected.confidence, atol=1e-6)
    assert report["clouds"]["received"] == report["clouds"]["labelled"] == 6
    assert report["clouds"]["foreign_stamps"] == 6, "recorded stamps are years away from the node's clock"


def test_restamped_clouds_measure_the_latency_from_stamp_to_publish(tmp_path):
    bag = write_bag(tmp_path / "in", [xyzi_cloud(street(index)) for index in range(4)])
    # A best-effort transport may lose clouds, so that the recorder waits for some in vain.
    options = {"node_options": ("input_reliability:=best_effort",), "record_options": ("--idle", "3")}
    outputs, report, played = run_drive(tmp_path, bag, expected=4, **options)
    published = [stamp for _, stamp in played["stamps"]]
    assert {stamp_of(output) for output in outputs} <= set(published)
    assert report["clouds"]["foreign_stamps"] == 0
    latency = report["latency_ms"]
    expected_stages = ["queue", "decode", "voxelise", "network", "to_points", "encode", "publish", "total"]
    assert list(latency) == [*expected_stages, "stamp_to_publish"]
    assert latency["stamp_to_publish"]["p50"] > latency["total"]["p50"] > latency["network"]["p50"] > 0


def test_under_overload_the_newest_cloud_wins_and_every_drop_is_counted(tmp_path):
    count = 60
    stamps = [10**18 + index for index in range(count)]
    clouds = [xyzi_cloud(street(index % 3, 60_000), stamp_ns=stamp) for index, stamp in enumerate(stamps)]
    bag = write_bag(tmp_path / "in", clouds, gap_ns=10_000_000)
    reliable = ("input_reliability:=reliable", "input_depth:=10")
    with graph(tmp_path) as ros, peer_of(ros) as peer:
        outputs = peer.hear(PointCloud2, "/segmenter/points")
        node = start_node(ros, tiny_weights(tmp_path), reliable)
        peer.spin_until(lambda: peer.node.count_publishers("/segmenter/points"))
        ros.fork("pvd_ros.play", bag, "--topic", TOPIC, "--wait-for-subscribers", "1", "--keep-stamps", "--reliable")
        peer.spin_until(lambda: outputs and stamp_of(outputs[-1]) == stamps[-1])
        assert node.stop() == 0, node.text()
    counts = json.loads((tmp_path / "node.json").read_text())["clouds"]
    assert counts["received"] == accounted_for(counts)
    assert counts["dropped"] > 0, "the node kept up: this was no overload"
    assert counts["labelled"] == len(outputs)
    labelled = [stamp_of(output) for output in outputs]
    assert labelled == sorted(labelled)
    assert labelled[-1] == stamps[-1]


def test_malformed_empty_and_all_nan_clouds_leave_the_node_running(tmp_path):
    clouds = [
        xyzi_cloud(street(0), stamp_ns=1),
        rosbags_cloud(data=bytes(32), width=2, row_step=0),
        rosbags_cloud(fields=[("x", 0, 7, 1)], data=bytes(32)),
        rosbags_cloud(data=bytes(16), width=2**32 - 1, height=2**32 - 1, row_step=2**32 - 1),
        rosbags_cloud(fields=(), height=0, width=0, point_step=0, stamp_ns=2),
        xyzi_cloud(np.full((9, 4), np.nan, np.float32), stamp_ns=3),
        xyzi_cloud(street(1), stamp_ns=4),
    ]
    options = ("input_reliability:=reliable", "input_depth:=10")
    bag = write_bag(tmp_path / "in", clouds)
    outputs, report, _ = run_drive(tmp_path, bag, "--keep-stamps", "--reliable", node_options=options, expected=4)
    counts = report["clouds"]
    assert (counts["received"], counts["labelled"], counts["rejected"], counts["dropped"]) == (7, 4, 3, 0)
    assert (counts["rejected_row_step"], counts["rejected_missing_xyz"]) == (2, 1)
    assert [stamp_of(output) for output in outputs] == [1, 2, 3, 4]
    assert [output.width for output in outputs] == [2000, 0, 9, 2000]
    assert set(slow_column(outputs[2], "label")) == {0}


# Fields (name, offset, datatype, count) and point step as the drivers publish them.
OUSTER = (
    [
        *(("x", 0, 7, 1), ("y", 4, 7, 1), ("z", 8, 7, 1), ("intensity", 16, 7, 1), ("t", 20, 6, 1)),
        *(("reflectivity", 24, 4, 1), ("ring", 26, 4, 1), ("ambient", 28, 4, 1), ("range", 32, 6, 1)),
    ],
    48,
)
VELODYNE = (
    [
        *(("x", 0, 7, 1), ("y", 4, 7, 1), ("z", 8, 7, 1), ("intensity", 12, 7, 1)),
        *(("ring", 16, 4, 1), ("time", 18, 7, 1)),
    ],
    22,
)


def driver_cloud(fields, point_step, points, height):
    """A cloud of this layout, `height` rows, with the x, y, z and intensity of `points` and noise elsewhere."""
    rows = np.random.default_rng(0).integers(0, 256, (len(points), point_step), dtype=np.uint8)
    for column, (_, offset, _, _) in enumerate(fields[:4]):
        rows[:, offset : offset + 4] = np.ascontiguousarray(points[:, column : column + 1]).view(np.uint8)
    width = len(points) // height
    return rosbags_cloud(
        fields=fields, data=rows.tobytes(), height=height, width=width, point_step=point_step,
        row_step=width * point_step,
    )  # fmt: skip


def test_recorded_clouds_of_real_sensors_pass_through_the_node(tmp_path, shared_data):
    """A recorded message with a 26-byte step, two organised VLP-16 clouds with NaN, and a recorded scan in the layouts
    of Ouster's and Velodyne's drivers."""
    fields = [("x", 0, 7, 1), ("y", 4, 7, 1), ("z", 8, 7, 1), ("intensity", 12, 7, 1), ("time", 16, 7, 1)]
    sizes = {"height": 1824, "width": 16, "point_step": 20, "row_step": 320}
    scan = np.fromfile(shared_data / "semantickitti/sequences/08/velodyne/000000.bin", "<f4").reshape(-1, 4)
    scan[:, 3] *= 255
    with BagWriter(tmp_path / "in") as bag:
        raw = (shared_data / "pointcloud2_cdr" / "lidar32_step26_unaligned.bin").read_bytes()
        bag.write_cloud_bytes(TOPIC, raw, 0)
        for index, path in enumerate(sorted((shared_data / "vlp16_organised").glob("*.bin"))[:2]):
            bag.write_cloud(TOPIC, rosbags_cloud(fields=fields, data=path.read_bytes(), **sizes), 10**9 * (1 + index))
        bag.write_cloud(TOPIC, driver_cloud(*OUSTER, scan[:65536], 64), 3 * 10**9)
        bag.write_cloud(TOPIC, driver_cloud(*VELODYNE, scan[:65536], 1), 4 * 10**9)
    options = ("input_reliability:=reliable", "intensity_scale:=0.00392157")
    bag = tmp_path / "in"
    outputs, report, _ = run_drive(tmp_path, bag, "--keep-stamps", "--reliable", node_options=options, expected=5)
    assert report["clouds"]["labelled"] == 5
    for output, given in zip(outputs, read_clouds(bag), strict=True):
        assert output.header == given.message.header
        assert (output.height, output.width) == (given.message.height, given.message.width)
        np.testing.assert_array_equal(slow_column(output, "y"), slow_column(given.message, "y"))
        np.testing.assert_array_equal(slow_column(output, "intensity"), slow_column(given.message, "intensity"))
