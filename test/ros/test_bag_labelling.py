"""label_bag: labels equal the segmenter's, everything else is copied unchanged, damage is counted."""

import signal
import subprocess
import sys

import numpy as np
import pytest
from ros_clouds import STORE, rosbags_cloud, slow_column, xyzi_cloud
from ros_weights import tiny_weights

from pvd_cli.main import run
from pvd_core.borders.errors import UserError
from pvd_core.clouds.example import spinning_scan
from pvd_core.segmenter import Segmenter
from pvd_ros.bags import BagError, BagWriter, LabelOptions, label_bag, read_clouds, topics_of
from pvd_ros.bags.reader import open_bag, raw_messages

STRING = "std_msgs/msg/String"


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory):
    return Segmenter.from_weights(tiny_weights(tmp_path_factory.mktemp("weights")), device="cpu")


def points_of(seed, count=300):
    generator = np.random.default_rng(seed)
    points = generator.uniform((-20, -20, -2, 0), (20, 20, 2, 1), (count, 4)).astype(np.float32)
    points[::17, 0] = np.nan
    points[5] = 0
    return points


def write_drive(path, clouds, storage="mcap"):
    definition, _ = STORE.generate_msgdef(STRING, ros_version=2)
    with BagWriter(path, storage) as bag:
        bag.add_topic("/notes", STRING, definition, STORE.hash_rihs01(STRING))
        for index, cloud in enumerate(clouds):
            note = STORE.serialize_cdr(STORE.types[STRING](data=f"cloud {index}"), STRING)
            bag.write_bytes("/notes", note, 100 * index)
            bag.write_cloud("/lidar", cloud, 100 * index + 50)
    return path


def raw_of(path):
    with open_bag(path) as reader:
        return [(connection.topic, time, bytes(raw)) for connection, time, raw in raw_messages(reader, path)]


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_labels_equal_the_segmenters_and_all_else_is_unchanged(tmp_path, segmenter, storage):
    inputs = [points_of(seed) for seed in range(3)]
    clouds = [xyzi_cloud(points, stamp_ns=7 * i, frame_id="roof", height=3) for i, points in enumerate(inputs)]
    bag_in = write_drive(tmp_path / "in", clouds, storage)
    seen = []
    report = label_bag(
        bag_in,
        tmp_path / "out",
        segmenter,
        options=LabelOptions(storage=storage),
        progress=lambda done, total: seen.append((done, total)),
    )
    assert (report.clouds, report.labelled, report.points, dict(report.rejected)) == (3, 3, 900, {})
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert set(report.latency_ms) == {"decode", "voxelise", "network", "to_points", "encode", "total"}
    assert "p99" in report.text()
    assert [row for row in raw_of(tmp_path / "out") if row[0] != "/lidar/labelled"] == raw_of(bag_in)
    outputs = list(read_clouds(tmp_path / "out", "/lidar/labelled"))
    assert len(outputs) == 3
    for output, cloud, points in zip(outputs, clouds, inputs, strict=True):
        expected = segmenter.segment(points)
        assert output.message.header == cloud.header
        assert (output.message.height, output.message.width) == (3, 100)
        np.testing.assert_array_equal(slow_column(output.message, "label"), expected.labels)
        np.testing.assert_array_equal(slow_column(output.message, "confidence"), expected.confidence)
        for column, name in enumerate(("x", "y", "z", "intensity")):
            np.testing.assert_array_equal(slow_column(output.message, name), points[:, column])


def test_the_same_bag_weights_and_options_give_the_same_bytes(tmp_path, segmenter):
    bag_in = write_drive(tmp_path / "in", [xyzi_cloud(points_of(1))])
    label_bag(bag_in, tmp_path / "a" / "out", segmenter)
    label_bag(bag_in, tmp_path / "b" / "out", segmenter)
    assert (tmp_path / "a/out/out.mcap").read_bytes() == (tmp_path / "b/out/out.mcap").read_bytes()


def test_malformed_empty_and_all_nan_clouds_are_counted_not_fatal(tmp_path, segmenter):
    clouds = [
        rosbags_cloud(data=bytes(32), row_step=0, width=2),
        rosbags_cloud(fields=(), height=0, width=0, point_step=0),
        xyzi_cloud(np.full((4, 4), np.nan, np.float32)),
        rosbags_cloud(fields=[("x", 0, 7, 1)], data=bytes(32)),
    ]
    report = label_bag(write_drive(tmp_path / "in", clouds), tmp_path / "out", segmenter, "/lidar")
    assert (report.clouds, report.labelled) == (4, 2)
    assert dict(report.rejected) == {"row_step": 1, "missing_xyz": 1}
    empty, all_nan = (cloud.message for cloud in read_clouds(tmp_path / "out", "/lidar/labelled"))
    assert (empty.width, len(empty.data)) == (0, 0)
    assert slow_column(all_nan, "label") == [0, 0, 0, 0]
    assert not all_nan.is_dense


def test_only_the_labelled_clouds_are_written_on_request(tmp_path, segmenter):
    bag_in = write_drive(tmp_path / "in", [xyzi_cloud(points_of(1))])
    options = LabelOptions(copy_other_topics=False, labelled_topic="/seen")
    label_bag(bag_in, tmp_path / "out", segmenter, options=options)
    assert set(topics_of(tmp_path / "out")) == {"/seen"}


def test_a_topic_that_is_already_there_is_not_mixed_into(tmp_path, segmenter):
    bag_in = write_drive(tmp_path / "in", [xyzi_cloud(points_of(1))])
    with pytest.raises(BagError, match="already has a topic /notes"):
        label_bag(bag_in, tmp_path / "out", segmenter, options=LabelOptions(labelled_topic="/notes"))


def test_an_existing_output_stays_as_it_is(tmp_path, segmenter):
    bag_in = write_drive(tmp_path / "in", [xyzi_cloud(points_of(1))])
    label_bag(bag_in, tmp_path / "out", segmenter)
    before = (tmp_path / "out/out.mcap").read_bytes()
    with pytest.raises(BagError, match="exists already"):
        label_bag(bag_in, tmp_path / "out", segmenter)
    assert (tmp_path / "out/out.mcap").read_bytes() == before


def test_a_killed_labelling_leaves_no_bag_and_is_started_anew(tmp_path, project_root, caplog):
    bag_in = write_drive(tmp_path / "in", [xyzi_cloud(points_of(1, 3000))] * 24)
    out, line = tmp_path / "out", ["label-bag", tmp_path / "in", tmp_path / "out", "--weights", tiny_weights(tmp_path)]
    line = [str(word) for word in line]
    script = f"""
import os
from pvd_cli import main, progress
progress.Steps.show = lambda self, done, total: done == 20 and os.kill(os.getpid(), {int(signal.SIGKILL)})
main.run({line})
"""
    killed = subprocess.run([sys.executable, "-c", script], cwd=project_root, capture_output=True, timeout=300)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not out.exists()
    assert (tmp_path / ".out.unfinished").is_dir()
    assert any(file.stat().st_size for file in tmp_path.glob(".out.unfinished/out/*"))

    assert run(line) == 0

    assert len(list(read_clouds(out, "/lidar/labelled"))) == 24
    assert not (tmp_path / ".out.unfinished").exists()
    assert "half a bag that a killed process left is replaced" in caplog.text
    assert raw_of(out)[:2] == raw_of(bag_in)[:2]


def test_a_labelled_topic_that_ros_would_refuse_is_refused_first(tmp_path):
    with pytest.raises(UserError, match="labelled_topic '/2nd' is no topic name"):
        LabelOptions(labelled_topic="/2nd")


def test_real_scans_of_two_sensors_are_labelled_point_for_point(tmp_path, shared_data, segmenter):
    """The bag is built here from a recorded message (26-byte step) and five organised VLP-16 clouds with NaN."""
    raw = (shared_data / "pointcloud2_cdr" / "lidar32_step26_unaligned.bin").read_bytes()
    fields = [("x", 0, 7, 1), ("y", 4, 7, 1), ("z", 8, 7, 1), ("intensity", 12, 7, 1), ("time", 16, 7, 1)]
    sizes = {"height": 1824, "width": 16, "point_step": 20, "row_step": 320}
    with BagWriter(tmp_path / "in") as bag:
        bag.write_cloud_bytes("/lidar", raw, 1)
        for index, path in enumerate(sorted((shared_data / "vlp16_organised").glob("*.bin"))):
            bag.write_cloud("/lidar", rosbags_cloud(fields=fields, data=path.read_bytes(), **sizes), 2 + index)
    report = label_bag(tmp_path / "in", tmp_path / "out", segmenter, options=LabelOptions(intensity_scale=1 / 255))
    assert (report.labelled, report.points) == (6, 64000 + 5 * 29184)
    for before, after in zip(
        read_clouds(tmp_path / "out", "/lidar"), read_clouds(tmp_path / "out", "/lidar/labelled"), strict=True
    ):
        assert after.message.header == before.message.header
        assert (after.message.height, after.message.width) == (before.message.height, before.message.width)
        np.testing.assert_array_equal(slow_column(after.message, "z"), slow_column(before.message, "z"))
        z = np.array(slow_column(after.message, "z"))
        assert not np.array(slow_column(after.message, "label"))[np.isnan(z)].any()


def streets(num_clouds, factor=1, height_m=1.73):
    clouds = []
    for _ in range(num_clouds):
        points = spinning_scan(24_000)
        points[:, 2] += np.float32(1.73 - height_m)
        points[:, 3] = np.rint(points[:, 3] * 255) / np.float32(255) * np.float32(factor)
        clouds.append(points)
    return clouds


@pytest.mark.parametrize(("factor", "said"), [(255, "multiplied by 0.00392157"), (255 * 13, "multiplied by 0.0001")])
def test_a_bag_of_bytes_or_counts_is_scaled_from_its_first_certain_cloud_on_and_says_so(
    tmp_path, segmenter, factor, said
):
    dark = streets(1, 0)
    bag_in = write_drive(tmp_path / "in", [xyzi_cloud(points) for points in [*dark, *streets(2, factor)]])
    report = label_bag(bag_in, tmp_path / "out", segmenter)
    assert [remark.split(":")[0] for remark in report.remarks] == ["cloud 1", "cloud 2"]
    assert "or it has none" in report.remarks[0]
    assert said in report.remarks[1]
    assert f"note: {report.remarks[1]}" in report.text()
    expected = segmenter.segment(streets(1)[0]).labels
    labelled = list(read_clouds(tmp_path / "out", "/lidar/labelled"))
    for cloud in labelled[1:]:
        agreement = (np.array(slow_column(cloud.message, "label")) == expected).mean()
        assert agreement > (0.999 if factor == 255 else 0.5)


def test_a_bag_of_a_low_sensor_names_the_option_and_is_labelled_alike_if_it_is_given(tmp_path, capsys):
    weights = tiny_weights(tmp_path)
    for name, height_m in (("usual", 1.73), ("low", 0.5)):
        write_drive(tmp_path / name, [xyzi_cloud(points) for points in streets(2, height_m=height_m)])
    command = ["label-bag", "--weights", str(weights), "--device", "cpu", "--topic", "/lidar"]
    assert run([*command, str(tmp_path / "low"), str(tmp_path / "untold")]) == 0
    printed = capsys.readouterr().out
    assert printed.count("note: ") == 1
    assert "note: cloud 1: the ground is 0.4" in printed
    assert "expected 1.73 m: set --mounting-height 0.4" in printed
    assert run([*command, str(tmp_path / "low"), str(tmp_path / "told"), "--mounting-height", "0.5"]) == 0
    assert run([*command, str(tmp_path / "usual"), str(tmp_path / "usual_labelled")]) == 0
    assert "note: " not in capsys.readouterr().out
    told, usual = (
        [cloud.message for cloud in read_clouds(tmp_path / name, "/lidar/labelled")]
        for name in ("told", "usual_labelled")
    )
    given = [cloud.message for cloud in read_clouds(tmp_path / "low", "/lidar")]
    for one, other, before in zip(told, usual, given, strict=True):
        labels = [np.array(slow_column(message, "label")) for message in (one, other)]
        assert (labels[0] == labels[1]).mean() > 0.99
        np.testing.assert_array_equal(slow_column(one, "z"), slow_column(before, "z"))
