"""The demo where no ROS 2 is installed: every cloud of a bag is labelled, one after the other."""

import json
import sys
import types
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rosbags", reason="bags need rosbags: pip install 'pvd_ros[bags]'")

from pose_messages import drive_clouds, odometry_rows
from pose_messages import write_bag as write_odometry_bag
from ros_clouds import rosbags_cloud, slow_column, xyzi_cloud

from pvd_cli.demo import offline
from pvd_cli.demo.results import print_results
from pvd_cli.main import run
from pvd_core.segmenter import Segmenter
from pvd_ros.bags import BagWriter, read_clouds
from pvd_ros.codec import stamp_of

NOTE = "no ROS 2 in this test"
GIVEN = 4


def points_of(seed):
    return np.random.default_rng(seed).uniform((-20, -20, -2, 0), (20, 20, 2, 1), (500, 4)).astype(np.float32)


@pytest.fixture
def without_node(monkeypatch):
    monkeypatch.setattr(offline, "why_no_node", lambda: NOTE)


@pytest.fixture
def bag(tmp_path):
    """Four sound clouds and one without coordinates."""
    with BagWriter(tmp_path / "drive") as writer:
        for index in range(GIVEN):
            writer.write_cloud("/lidar", xyzi_cloud(points_of(index), stamp_ns=100 + index), 100 + index)
        writer.write_cloud("/lidar", rosbags_cloud(fields=[("x", 0, 7, 1)], data=bytes(32), stamp_ns=200), 200)
    return tmp_path / "drive"


def test_every_cloud_is_labelled_and_the_report_adds_up(without_node, bag, weights, tmp_path, capsys):
    out = tmp_path / "demo"
    assert run(["demo", "--bag", str(bag), "--seconds", "2", "--weights", str(weights), "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    report = json.loads((out / "report.json").read_text())
    assert f"note: {NOTE}; labelling the bag without a node" in printed
    assert f"note: --seconds is the length of a simulated drive; all of {bag} is labelled" in printed
    assert f"clouds in {GIVEN + 1}, labelled {GIVEN}" in printed
    assert "Time to label a cloud" in printed
    assert report["node"] is False
    assert report["clouds_in"] == GIVEN + 1
    assert report["labelled"] == report["recorded"] == GIVEN
    assert report["rejected"] == 1
    assert report["rejected_by_reason"] == {"missing_xyz": 1}
    parts = ("labelled", "dropped", "rejected", "skipped", "lost_in_transport")
    assert sum(report[part] for part in parts) == report["clouds_in"]
    assert all(Path(path).exists() for name, path in report["paths"].items() if name != "labelled_topic")

    segmenter = Segmenter.from_weights(weights)
    labelled = [cloud.message for cloud in read_clouds(out / "labelled", report["paths"]["labelled_topic"])]
    assert len(labelled) == GIVEN
    for index, message in enumerate(labelled):
        assert stamp_of(message) == 100 + index
        np.testing.assert_array_equal(slow_column(message, "label"), segmenter.segment(points_of(index)).labels)


def test_scans_of_a_bag_are_fused_by_its_odometry(without_node, weights, tmp_path, capsys):
    bag = write_odometry_bag(tmp_path / "drive", drive_clouds(4), odometry_rows(0.6))
    line = [
        "demo",
        "--bag",
        bag,
        "--weights",
        weights,
        "--scans",
        "3",
        "--odometry",
        "/odom",
        "--out",
        tmp_path / "out",
    ]
    assert run([str(word) for word in line]) == 0
    assert "history: 3 clouds with past ones behind" in capsys.readouterr().out
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["history"]["fused"] == 3
    assert report["movers"] is None  # nobody knows the truth


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--bag", "{bag}", "--scans", "3"], "by its --odometry TOPIC: give both, or neither"),
        (["--bag", "{bag}", "--odometry", "/odom"], "by its --odometry TOPIC: give both, or neither"),
        (["--odometry", "/odom"], "--odometry is for a --bag; simulated drives bring their own"),
        (["--bag", "{bag}", "--scans", "3", "--odometry", "/odom"], "--odometry: no topic /odom in"),
    ],
)
def test_scans_and_odometry_that_do_not_fit_are_refused_before_anything_is_written(
    bag, weights, tmp_path, error_of, arguments, words
):
    given = [word.format(bag=bag) for word in arguments]
    assert words in error_of("demo", *given, "--weights", weights, "--out", tmp_path / "demo")
    assert not (tmp_path / "demo").exists()


def test_a_message_that_is_no_cloud_is_counted_as_rejected(without_node, weights, tmp_path, capsys):
    with BagWriter(tmp_path / "drive") as writer:
        writer.write_cloud("/lidar", xyzi_cloud(points_of(0), stamp_ns=100), 100)
        writer.write_cloud_bytes("/lidar", b"\x00\x01\x00\x00rubbish", 101)
    out = tmp_path / "demo"
    assert run(["demo", "--bag", str(tmp_path / "drive"), "--weights", str(weights), "--out", str(out)]) == 0
    report = json.loads((out / "report.json").read_text())
    assert (report["clouds_in"], report["labelled"], report["rejected"]) == (2, 1, 1)
    assert "rejected 1: unreadable_message" in capsys.readouterr().out


def test_a_damaged_bag_is_refused_before_anything_is_written(bag, tmp_path, error_of):
    (file,) = bag.glob("*.mcap")
    file.write_bytes(file.read_bytes()[:-100])
    assert "is cut or damaged at byte" in error_of("demo", "--bag", bag, "--out", tmp_path / "demo")
    assert not (tmp_path / "demo").exists()


@pytest.mark.parametrize(
    "command", ["demo --weights {weights} --out {out}", "simulate {out}", "dataset simulated {out}"]
)
def test_without_the_ray_caster_nothing_is_written_and_an_earlier_demo_stays(
    command, weights, tmp_path, monkeypatch, error_of
):
    monkeypatch.setitem(sys.modules, "embreex.rtcore_scene", None)
    out = tmp_path / "out"
    arguments = command.format(weights=weights, out=out).split()
    assert "pip install 'pvd_ros[sim]'" in error_of(*arguments)
    assert not out.exists()
    if arguments[0] == "demo":
        out.mkdir()
        for name in (".pvd_demo", "report.json"):
            (out / name).touch()
        assert "or label a bag with --bag" in error_of(*arguments)
        assert len(list(out.iterdir())) == 2


def test_clouds_that_came_too_fast_are_explained_with_the_rate_that_suits(capsys):
    counts = {"clouds_in": 120, "labelled": 30, "dropped": 80, "lost_in_transport": 10, "rejected": 0, "skipped": 0}
    paths = dict.fromkeys(("labelled_bag", "picture", "report", "logs"))
    facts = {"rejected_by_reason": {}, "latency_ms": {}, "remarks": [], "node": True, "history": {}}
    report = {**counts, **facts, "recorded": 30, "paths": paths}
    print_results(report, None, rate=1.0)
    printed = capsys.readouterr().out
    assert "note: 90 clouds came while this machine was busy" in printed
    assert "--rate 0.2 (make demo RATE=0.2)" in printed
    assert "note: of so few clouds (30) latency and IoU scatter from run to run\n" in printed
    print_results({**report, "labelled": 120, "recorded": 120, "dropped": 0, "lost_in_transport": 0}, None, rate=1.0)
    assert "note" not in capsys.readouterr().out


@pytest.mark.parametrize("missing", ["rclpy", "sensor_msgs", "diagnostic_msgs", "visualization_msgs"])
def test_what_the_node_lacks_is_named_with_what_brings_it(missing, monkeypatch):
    importable(monkeypatch, but=missing)
    reason = offline.why_no_node()
    assert reason.startswith(f"{missing} does not import: ")
    assert "pip install 'pvd_ros[ros]'" in reason


def test_ros_of_another_python_is_no_node(monkeypatch, tmp_path):
    (tmp_path / "rclpy").mkdir()
    (tmp_path / "rclpy" / "__init__.py").write_text("import _rclpy_pybind11_of_another_python")
    monkeypatch.delitem(sys.modules, "rclpy", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    reason = offline.why_no_node()
    monkeypatch.delitem(sys.modules, "rclpy", raising=False)
    assert "_rclpy_pybind11_of_another_python" in reason
    assert "source a ROS 2 built for this Python" in reason


def test_nothing_is_said_where_the_node_can_run(monkeypatch):
    importable(monkeypatch)
    assert offline.why_no_node() == ""


def importable(monkeypatch, but=None):
    """The node's packages import, except one of them, whatever is installed here."""
    for name in offline._NODE_MODULES:
        package = name.split(".")[0]
        for each in {package, name}:
            monkeypatch.setitem(sys.modules, each, None if package == but else types.ModuleType(each))
