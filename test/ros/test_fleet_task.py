"""One bag of a fleet: what came of it, its record, the plan of tasks and the table of classes."""

import csv
import dataclasses
import sys

import numpy as np
import pytest
from bags import START_NS, STEP_NS, clouds_of, file_of, points_of, rows_of, write_drive
from fleets import settings_with
from pose_messages import drive_clouds, odometry_rows, write_bag
from ros_clouds import rosbags_cloud, xyzi_cloud
from ros_weights import tiny_committee, tiny_weights

from pvd_core.borders.errors import UserError
from pvd_core.borders.files import sha256_of
from pvd_core.committee import segmenter_of
from pvd_core.segmenter import Segmenter
from pvd_core.taxonomy import SEMANTICKITTI
from pvd_ros.bags import BagWriter, Channel, PoseOptions
from pvd_ros.fleet import find_bags, plan_fleet
from pvd_ros.fleet.classes import write_class_table
from pvd_ros.fleet.task import label_task

BAD = rosbags_cloud(fields=[("x", 0, 7, 1)], data=bytes(32))


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return tiny_weights(tmp_path_factory.mktemp("weights"))


@pytest.fixture
def plan(tmp_path, weights):
    """A function that plans the bags below tmp_path / "in"."""

    def planned(by_file=False, out=tmp_path / "out", **options):
        return plan_fleet(find_bags(tmp_path / "in", out), out, settings_with(weights, **options), by_file)

    return planned


def results_of(plan):
    return {task.name: label_task(task) for task in plan.tasks}


def test_each_bag_is_judged_alone_and_one_that_fails_does_not_end_the_others(tmp_path, plan):
    bytes_sensor = [xyzi_cloud(points_of(s) * np.float32((1, 1, 1, 255)), START_NS + s * STEP_NS) for s in range(3)]
    write_drive(tmp_path / "in/bytes", bytes_sensor)
    write_drive(tmp_path / "in/kitti", clouds_of(3))
    write_drive(tmp_path / "in/half", [*clouds_of(2), BAD])
    cut = file_of(write_drive(tmp_path / "cut", clouds_of(2)))
    (tmp_path / "in/cut.mcap").write_bytes(cut.read_bytes()[:-100])
    with BagWriter(tmp_path / "in/notes") as bag:
        bag.write(Channel("/notes", "std_msgs/msg/String"), rows_of(tmp_path / "in/kitti", "/notes")[0][2], START_NS)
    write_drive(tmp_path / "in/silent", [])

    results = results_of(plan())

    assert {name: result.status for name, result in results.items()} == {
        "bytes": "labelled",
        "cut": "failed",
        "half": "labelled",
        "kitti": "labelled",
        "notes": "skipped",
        "silent": "skipped",
    }
    assert any("multiplied by" in line for line in results["bytes"].lines)
    assert not any("multiplied by" in line for line in results["kitti"].lines)
    assert "is cut or damaged" in results["cut"].reason
    assert "if it is being recorded or copied, wait for the end" in results["cut"].reason
    assert "no topic of type sensor_msgs/msg/PointCloud2" in results["notes"].reason
    assert (results["half"].rejected, results["half"].is_whole) == ({"missing_xyz": 1}, False)
    assert results["kitti"].is_whole
    assert sorted(path.name for path in (tmp_path / "out").iterdir() if path.name[0] != ".") == [
        "bytes",
        "half",
        "kitti",
    ]


def test_a_bag_that_is_written_meanwhile_is_not_taken_for_whole(tmp_path, plan):
    bag = write_drive(tmp_path / "in/drive", clouds_of(3))
    (task,) = plan().tasks

    def record_on(done, _total):
        if done == 1:
            with file_of(bag).open("ab") as file:
                file.write(b"more")

    result = label_task(task, record_on)
    assert result.status == "failed"
    assert "is being written: wait until it is complete" in result.reason
    assert not task.out.exists()
    assert not task.record.exists()


def test_a_bag_that_is_complete_is_kept_with_what_was_found_when_it_was_labelled(tmp_path, plan):
    write_drive(tmp_path / "in/half", [*clouds_of(2), BAD])
    (first,) = results_of(plan()).values()
    before = file_of(tmp_path / "out/half").stat().st_mtime_ns
    with pytest.raises(UserError, match=r"holds results of an earlier run \(.label_bags\): go on with --resume"):
        plan()
    (again,) = results_of(plan(resume=True)).values()
    assert again == dataclasses.replace(first, kept=True)
    assert file_of(tmp_path / "out/half").stat().st_mtime_ns == before
    (tmp_path / "out/.label_bags/half.json").write_text('{"of": "another version"}')
    (without_record,) = results_of(plan(resume=True)).values()
    assert without_record.classes == first.classes
    assert without_record.rejected == {"rejected in an earlier run": 1}
    (anew,) = results_of(plan(overwrite=True)).values()
    assert dataclasses.replace(anew, seconds=first.seconds) == first


def test_what_was_labelled_with_other_settings_is_not_kept(tmp_path, plan):
    write_drive(tmp_path / "in/drive", clouds_of(2))
    results_of(plan())
    (other,) = results_of(plan(resume=True, intensity_scale=0.5)).values()
    assert other.status == "failed"
    assert "labelled with other settings (--intensity-scale)" in other.reason


def test_weights_that_are_others_where_the_bag_is_labelled_are_refused(tmp_path, plan):
    write_drive(tmp_path / "in/drive", clouds_of(1))
    (task,) = plan().tasks
    elsewhere = dataclasses.replace(task, settings=dataclasses.replace(task.settings, weights_sha256="0" * 64))
    result = label_task(elsewhere)
    assert result.status == "failed"
    assert "has other content here than where the command was started" in result.reason


def test_a_committee_labels_bags_as_it_labels_clouds(tmp_path):
    files = tiny_committee(tmp_path)
    write_drive(tmp_path / "in/drive", clouds_of(1))
    plan = plan_fleet(find_bags(tmp_path / "in", tmp_path / "out"), tmp_path / "out", settings_with(*files))
    (result,) = results_of(plan).values()
    labels = segmenter_of(files, device="cpu").segment(points_of(0)).labels
    assert [row["points"] for row in result.classes] == np.bincount(labels, minlength=20).tolist()
    assert result.weights_sha256.split(",") == [sha256_of(path) for path in files]

    (task,) = plan.tasks
    swapped = dataclasses.replace(task.settings, weights=tuple(reversed(files)))
    refused = label_task(dataclasses.replace(task, settings=swapped))
    assert f"{files[1]} has other content here" in refused.reason


def test_files_of_a_split_bag_are_labelled_apart_only_where_that_gives_the_same_labels(tmp_path, plan, weights):
    parts = [write_drive(tmp_path / f"part{n}", clouds_of(6)[3 * n : 3 * n + 3]) for n in range(2)]
    (tmp_path / "in/drive").mkdir(parents=True)
    for number, part in enumerate(parts):
        file_of(part).rename(tmp_path / f"in/drive/drive_{number}.mcap")
    for options, reason in (
        ({"intensity_scale": "auto"}, "needs --intensity-scale NUMBER"),
        ({"start_s": 1.0}, "excludes --start and --end"),
        ({"poses": PoseOptions(odometry="/odom")}, "excludes --odometry and --fixed-frame"),
    ):
        with pytest.raises(UserError, match=reason):
            plan(by_file=True, **{"intensity_scale": 1.0, **options})

    apart = plan(by_file=True, intensity_scale=1.0)
    assert [task.name for task in apart.tasks] == ["drive/drive_0", "drive/drive_1"]
    assert "each file of a split bag becomes one" in apart.remarks[0]
    results_of(apart)
    whole = plan(out=tmp_path / "whole", intensity_scale=1.0)
    results_of(whole)
    rows = [row for number in range(2) for row in rows_of(tmp_path / f"out/drive/drive_{number}", "/lidar/labelled")]
    # Both files begin at the same time, so that the whole bag mixes their clouds.
    assert sorted(rows) == sorted(rows_of(tmp_path / "whole/drive", "/lidar/labelled"))


def test_past_clouds_are_put_behind_each_by_the_odometry_of_each_bag(tmp_path, plan):
    write_bag(tmp_path / "in/with", drive_clouds(3), odometry_rows(1))
    write_bag(tmp_path / "in/without", drive_clouds(3))
    results = results_of(plan(poses=PoseOptions(odometry="/odom", history=1)))
    assert any("2 clouds with past ones behind" in line for line in results["with"].lines)
    assert results["without"].status == "failed"
    assert "no topic /odom" in results["without"].reason


def test_a_missing_file_of_a_split_bag_is_not_forgotten_by_file(tmp_path, plan):
    bag = write_drive(tmp_path / "in/drive", clouds_of(2))
    content = (bag / "metadata.yaml").read_text()
    (bag / "drive_1.mcap").write_bytes(file_of(bag).read_bytes())
    listed = content.replace("- drive_0.mcap", "- drive_0.mcap\n  - drive_1.mcap\n  - drive_2.mcap")
    (bag / "metadata.yaml").write_text(listed)
    apart = plan(by_file=True, intensity_scale=1.0)
    assert len(apart.tasks) == 2
    (missing,) = apart.failed
    assert (missing.name, missing.status) == ("drive/missing", "failed")
    assert "drive_2.mcap" in missing.reason


def test_the_table_of_classes_is_what_is_in_the_bags_and_the_same_after_resuming(tmp_path, plan, weights):
    pyarrow_parquet = pytest.importorskip("pyarrow.parquet", reason="extra fleet")
    write_drive(tmp_path / "in/a", clouds_of(2))
    write_drive(tmp_path / "in/b", clouds_of(3))
    results_of(plan())
    path, remark = write_class_table(tmp_path / "out")
    content = path.read_bytes()
    rows = pyarrow_parquet.read_table(path).to_pylist()

    segmenter = Segmenter.from_weights(weights, device="cpu")
    found = [segmenter.segment(points_of(seed)) for seed in range(3)]
    labels, confidence = (np.concatenate([getattr(f, name) for f in found]) for name in ("labels", "confidence"))
    assert remark == ""
    assert [(row["bag"], row["class"]) for row in rows] == [(bag, name) for bag in "ab" for name in SEMANTICKITTI.names]
    for row in rows[20:]:
        is_class = labels == row["class_id"]
        assert row["points"] == is_class.sum()
        assert row["clouds"] == sum((f.labels == row["class_id"]).any() for f in found)
        assert row["share"] == pytest.approx(is_class.mean())
        assert row["weights_sha256"] == settings_with(weights).weights_sha256
        if is_class.any() and row["class_id"]:
            assert row["mean_confidence"] == pytest.approx(confidence[is_class].mean(), rel=1e-5)
            assert row["low_confidence_share"] == pytest.approx((confidence[is_class] < 0.5).mean())
        else:
            assert row["mean_confidence"] is None

    results_of(plan(resume=True))
    assert write_class_table(tmp_path / "out")[0].read_bytes() == content


def test_without_pyarrow_the_table_is_csv_and_the_extra_is_named(tmp_path, plan, monkeypatch):
    write_drive(tmp_path / "in/a", clouds_of(1))
    results_of(plan())
    (tmp_path / "out/classes.parquet").write_bytes(b"of an earlier run")
    monkeypatch.setitem(sys.modules, "pyarrow", None)  # as where it is not installed
    path, remark = write_class_table(tmp_path / "out")
    assert "pip install 'pvd_ros[fleet]'" in remark
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 20
    assert sum(int(row["points"]) for row in rows) == 300
    assert not (tmp_path / "out/classes.parquet").exists()
