"""label_bag: labels equal the segmenter's, everything else is copied unchanged, damage is counted."""

from pathlib import Path

import numpy as np
import pytest
from bags import START_NS, STEP_NS, cloud_bytes, clouds_of, points_of, rows_of, write_drive
from ros_clouds import factor_said, rosbags_cloud, slow_column, xyzi_cloud
from ros_weights import tiny_weights
from wide_scans import fine_weights, wide_points

from pvd_cli.main import run
from pvd_core.borders.errors import UserError
from pvd_core.clouds.example import spinning_scan
from pvd_core.segmenter import Segmenter
from pvd_core.taxonomy import SEMANTICKITTI
from pvd_ros.bags import BagError, BagWriter, Channel, LabelOptions, label_bag, read_clouds, topics_of
from pvd_ros.bags.label_report import LabelReport, Rejection
from pvd_ros.codec import CLOUD_TYPE, stamp_of


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory):
    return Segmenter.from_weights(tiny_weights(tmp_path_factory.mktemp("weights")), device="cpu")


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
    assert [row for row in rows_of(tmp_path / "out") if row[0] != "/lidar/labelled"] == rows_of(bag_in)
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


def test_a_cloud_too_wide_for_the_voxels_is_rejected_under_its_reason(tmp_path):
    clouds = [xyzi_cloud(points_of(0)), xyzi_cloud(wide_points()), xyzi_cloud(points_of(2))]
    segmenter = Segmenter.from_weights(fine_weights(tmp_path), device="cpu")
    report = label_bag(write_drive(tmp_path / "in", clouds), tmp_path / "out", segmenter)
    assert (report.clouds, report.labelled, dict(report.rejected)) == (3, 2, {"too_wide": 1})


def test_entropies_are_written_where_they_are_asked_for(tmp_path, segmenter):
    points = points_of(1)
    points[3, :3] = 0
    bag_in = write_drive(tmp_path / "in", [xyzi_cloud(points)])
    label_bag(bag_in, tmp_path / "out", segmenter, options=LabelOptions(entropy=True))
    (output,) = read_clouds(tmp_path / "out", "/lidar/labelled")
    expected = segmenter.segment(points, with_entropy=True)
    assert expected.entropy[3] == 0
    assert expected.entropy.max() > 0.5
    for name in ("labels", "confidence", "entropy"):
        column = slow_column(output.message, name.rstrip("s"))
        np.testing.assert_array_equal(column, getattr(expected, name))


def test_the_same_bag_weights_and_options_give_the_same_bytes(tmp_path, segmenter):
    bag_in = write_drive(tmp_path / "in", [xyzi_cloud(points_of(1))])
    label_bag(bag_in, tmp_path / "a" / "out", segmenter)
    label_bag(bag_in, tmp_path / "b" / "out", segmenter)
    assert (tmp_path / "a/out/out_0.mcap").read_bytes() == (tmp_path / "b/out/out_0.mcap").read_bytes()


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
    assert [(each.number, each.reason) for each in report.rejections] == [(1, "row_step"), (4, "missing_xyz")]
    assert not report.is_whole
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


def test_rejected_clouds_are_named_by_number_stamp_and_reason(tmp_path, segmenter):
    clouds = clouds_of(3)
    clouds[1] = rosbags_cloud(fields=[("x", 0, 7, 1)], data=bytes(32), stamp_ns=START_NS + 5)
    bag = write_drive(tmp_path / "in", clouds)
    report = label_bag(bag, tmp_path / "out", segmenter, "/lidar")
    assert "2 of 3 clouds labelled" in report.text()
    assert "rejected 1: missing_xyz\n  cloud 2, stamp 1700000000.000000005: " in report.text()


def test_a_message_that_is_no_cloud_is_rejected_by_its_log_time(tmp_path, segmenter):
    with BagWriter(tmp_path / "in") as bag:
        bag.write_cloud_bytes("/lidar", b"\x00\x01\x00\x00rubbish", START_NS)
        bag.write_cloud("/lidar", xyzi_cloud(points_of(1)), START_NS + 1)
    report = label_bag(tmp_path / "in", tmp_path / "out", segmenter)
    assert [(each.number, each.stamp_ns, each.reason) for each in report.rejections] == [
        (1, START_NS, "unreadable_message")
    ]


def test_where_no_cloud_was_labelled_nothing_is_written(tmp_path, segmenter):
    bad = [rosbags_cloud(fields=[("x", 0, 7, 1)], data=bytes(32), stamp_ns=number) for number in range(30)]
    bag = write_drive(tmp_path / "in", bad)
    with pytest.raises(
        BagError, match=r"not one of the 30 clouds .* nothing is written: rejected 30: missing_xyz; clouds 1 to 30, st"
    ):
        label_bag(bag, tmp_path / "out", segmenter)
    assert list(tmp_path.iterdir()) == [bag]


def test_clouds_that_are_rejected_for_the_same_are_named_together():
    report = LabelReport(Path("out"), "/lidar", "/seen", SEMANTICKITTI)
    for number in (2, 3, 4, 7):
        report.reject(Rejection(number, number * 10**9, "missing_xyz", "no field 'y'"))
    report.reject(Rejection(5, 5, "point_step", "point_step is 0"))
    assert report.rejected_lines() == [
        "rejected 4: missing_xyz",
        "rejected 1: point_step",
        "  clouds 2 to 4, 7, stamps 2.000000000 to 7.000000000: no field 'y'",
        "  cloud 5, stamp 0.000000005: point_step is 0",
    ]
    for number in range(100, 200, 2):
        report.reject(Rejection(number, number, "missing_xyz", "no field 'y'"))
        report.reject(Rejection(number + 1, number, "data_too_short", f"data holds {number} bytes"))
    lines = report.rejected_lines()
    assert " 134 and 32 more, stamps 2.0" in lines[3]
    assert lines[-1] == "  and 32 more clouds"


def test_a_coordinate_is_no_intensity_field():
    with pytest.raises(UserError, match="intensity field 'y' is a coordinate: name the field that holds intensity"):
        LabelOptions(intensity_field="y")


def test_a_topic_without_clouds_is_said_and_nothing_is_written(tmp_path, segmenter):
    with BagWriter(tmp_path / "in") as bag:
        bag.add_channel(Channel("/lidar", CLOUD_TYPE))
    with pytest.raises(BagError, match=r"topic /lidar of .* holds no clouds"):
        label_bag(tmp_path / "in", tmp_path / "out", segmenter)
    assert not (tmp_path / "out").exists()


def test_classes_that_were_found_are_counted(tmp_path, segmenter):
    report = label_bag(write_drive(tmp_path / "in", clouds_of(2)), tmp_path / "out", segmenter)
    expected = sum(np.bincount(segmenter.segment(points_of(seed)).labels, minlength=20) for seed in range(2))
    np.testing.assert_array_equal(report.points_of_class, expected)
    assert report.points == report.points_of_class.sum() == 600


def test_start_and_end_choose_messages_by_seconds_from_the_first(tmp_path, segmenter):
    bag = write_drive(tmp_path / "in", clouds_of(6))
    options = LabelOptions(start_s=0.2, end_s=0.4)
    report = label_bag(bag, tmp_path / "out", segmenter, options=options)
    assert (report.clouds, report.labelled) == (2, 2)
    copied = [row for row in rows_of(tmp_path / "out") if row[0] != "/lidar/labelled"]
    assert copied == [row for row in rows_of(bag) if START_NS + 2 * STEP_NS <= row[1] < START_NS + 4 * STEP_NS]
    assert len(copied) == 4


def test_a_span_without_clouds_says_how_long_the_bag_is(tmp_path, segmenter):
    bag = write_drive(tmp_path / "in", clouds_of(6))
    with pytest.raises(BagError, match=r"no cloud .* between --start and --end; it is 0\.5 s long"):
        label_bag(bag, tmp_path / "out", segmenter, options=LabelOptions(start_s=7))
    with pytest.raises(UserError, match="the end, 1 s, must lie after the start, 2 s"):
        LabelOptions(start_s=2, end_s=1)
    for seconds in (np.nan, np.inf, -1):
        with pytest.raises(UserError, match=r"the start is .* s, expected 0 to"):
            LabelOptions(start_s=seconds)


def test_messages_that_lie_out_of_order_in_the_file_are_labelled_in_order(tmp_path, segmenter):
    clouds = clouds_of(6)
    with BagWriter(tmp_path / "in") as bag:
        for index in (3, 0, 5, 1, 4, 2):
            bag.write_cloud_bytes("/lidar", cloud_bytes(clouds[index]), START_NS + index * STEP_NS)
    label_bag(tmp_path / "in", tmp_path / "out", segmenter)
    labelled = list(read_clouds(tmp_path / "out", "/lidar/labelled"))
    assert [cloud.log_time_ns for cloud in labelled] == [START_NS + index * STEP_NS for index in range(6)]
    assert [stamp_of(cloud.message) for cloud in labelled] == [stamp_of(cloud) for cloud in clouds]


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


@pytest.mark.parametrize("factor", [255, 255 * 13])
def test_a_bag_of_bytes_or_counts_is_scaled_from_its_first_certain_cloud_on_and_says_so(tmp_path, segmenter, factor):
    dark = streets(1, 0)
    bag_in = write_drive(tmp_path / "in", [xyzi_cloud(points) for points in [*dark, *streets(2, factor)]])
    report = label_bag(bag_in, tmp_path / "out", segmenter)
    assert [remark.split(":")[0] for remark in report.remarks] == ["cloud 1", "cloud 2"]
    assert "as where there is none" in report.remarks[0]
    (points,) = streets(1, factor)
    points[:, 3] *= factor_said(report.remarks[1])
    assert np.percentile(points[:, 3], 95) == pytest.approx(0.4, rel=0.05)
    assert f"note: {report.remarks[1]}" in report.text()
    expected = segmenter.segment(points).labels
    labelled = list(read_clouds(tmp_path / "out", "/lidar/labelled"))
    for cloud in labelled[1:]:
        assert (np.array(slow_column(cloud.message, "label")) == expected).mean() > 0.999


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
