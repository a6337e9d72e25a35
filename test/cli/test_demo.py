"""The demo as a user runs it: three processes over Fast DDS, a report whose numbers add up, and nothing left behind."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from multiscan_weights import save_multiscan_weights

from pvd_cli.demo import drive
from pvd_cli.main import run
from pvd_core.clouds import read_cloud
from pvd_core.segmenter import Segmenter
from pvd_core.taxonomy import SEMANTICKITTI
from training.judge.metrics import ConfusionMatrix

pytest.importorskip("rclpy", reason="the demo runs a ROS 2 node: source a ROS 2 or pip install 'pvd_ros[ros]'")
pytest.importorskip("embreex", reason="simulating needs embreex: pip install 'pvd_ros[sim]'")

# Only bounds a hang.
TIMEOUT_S = 300


@pytest.fixture(scope="module")
def finished(weights, tmp_path_factory):
    """A demo that has run, over half a second of driving: (its folder, what it printed)."""
    out = tmp_path_factory.mktemp("demo") / "demo"
    result = run_demo("--seconds", "0.5", "--weights", weights, "--out", out)
    assert result.returncode == 0, result.stderr
    return out, result.stdout


def demo_command(*arguments):
    return [sys.executable, "-m", "pvd_cli", "demo", *map(str, arguments)]


def run_demo(*arguments):
    return subprocess.run(demo_command(*arguments), capture_output=True, text=True, timeout=TIMEOUT_S)


def test_every_cloud_is_accounted_for(finished):
    report = json.loads((finished[0] / "report.json").read_text())
    assert report["clouds_in"] == 5
    parts = ("labelled", "dropped", "rejected", "skipped", "lost_in_transport")
    assert sum(report[part] for part in parts) == report["clouds_in"]
    assert report["recorded"] == report["labelled"] > 0
    assert report["rejected"] == 0
    assert all(Path(path).exists() for name, path in report["paths"].items() if name != "labelled_topic")


def test_latency_is_reported_for_every_stage(finished):
    latency_ms = json.loads((finished[0] / "report.json").read_text())["latency_ms"]
    assert {"decode", "voxelise", "network", "encode", "total", "stamp_to_publish"} <= latency_ms.keys()
    for stage in latency_ms.values():
        assert 0 <= stage["p50"] <= stage["p90"] <= stage["p99"]


def test_score_is_that_of_the_offline_segmenter_on_the_recorded_clouds(finished, weights):
    from pvd_ros.bags import read_clouds

    out, _ = finished
    report = json.loads((out / "report.json").read_text())
    stamps_in_bag = {
        published: stamp for stamp, published in json.loads((out / "logs/player.json").read_text())["stamps"]
    }
    segmenter, scores = Segmenter.from_weights(weights, device="cpu"), ConfusionMatrix(SEMANTICKITTI)
    first_ns = min(stamps_in_bag.values())
    for cloud in read_clouds(out / "labelled", report["paths"]["labelled_topic"]):
        stamp = cloud.message.header.stamp
        frame = round((stamps_in_bag[stamp.sec * 10**9 + stamp.nanosec] - first_ns) / 1e8)
        sequence = out / "data/sequences/08"
        truth = SEMANTICKITTI.class_ids_from_raw(np.fromfile(sequence / f"labels/{frame:06d}.label", "<u4"))
        scores.update(segmenter.segment(read_cloud(sequence / f"velodyne/{frame:06d}.bin")).labels, truth)
    assert report["num_points"] == scores.num_points
    assert report["miou"] == pytest.approx(scores.miou(), abs=1e-4)


def test_tables_and_paths_are_printed(finished):
    out, printed = finished
    for text in (
        "stamp to publish",
        "clouds in 5, labelled",
        "IoU %",
        "road",
        "latency and IoU scatter from run to run; a longer",
        str(out / "picture.png"),
    ):
        assert text in printed
    assert (out / "picture.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_bag_of_the_user_is_labelled_without_a_truth(finished, weights, tmp_path):
    bag = finished[0] / "drive"
    result = run_demo(
        "--bag", bag, "--topic", "/velodyne_points", "--rate", "2", "--weights", weights, "--out", tmp_path
    )
    assert result.returncode == 0, result.stderr
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["clouds_in"] == 5
    assert report["miou"] is None
    assert "IoU" not in result.stdout


@pytest.mark.slow
def test_three_scans_are_fused_live_and_the_moving_iou_is_printed(tmp_path):
    weights = save_multiscan_weights(tmp_path / "many.safetensors", past_scans=2)
    out = tmp_path / "demo"
    result = run_demo("--scans", "3", "--seconds", "1", "--rate", "0.1", "--weights", weights, "--out", out)
    assert result.returncode == 0, result.stderr
    report = json.loads((out / "report.json").read_text())
    assert report["history"]["fused"] > 0
    assert report["history"]["history_dropped"] == 0
    assert report["movers"]["fused"]["moving"] > 0
    assert "moving IoU " in result.stdout
    assert "noise of 1 cm and 0.02 degrees" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--bag", "none"], "no bag at none"),
        (["--weights", "none.safetensors"], "does not exist"),
        (["--out", "{home}"], "no earlier demo's folder"),
        (["--rate", "0"], "--rate"),
    ],
)
def test_mistakes_end_in_one_line_before_anything_is_started(
    arguments, message, weights, tmp_path, monkeypatch, error_of
):
    monkeypatch.setattr(subprocess, "Popen", None)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "precious.txt").touch()
    arguments = [word.format(home=tmp_path) for word in arguments]
    defaults = {
        "--weights": weights,
        "--out": tmp_path / "out",
        **dict(zip(arguments[::2], arguments[1::2], strict=True)),
    }
    line = error_of("demo", *(word for pair in defaults.items() for word in pair))
    assert message in line
    assert (tmp_path / "precious.txt").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_stopped_demo_leaves_no_process_behind(finished, weights, tmp_path, number):
    bag, out = finished[0] / "drive", tmp_path / "out"
    command = demo_command("--bag", bag, "--rate", "0.05", "--weights", weights, "--out", out)
    demo = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    # The node, the recorder and the player, whose log is there before it is.
    wait_until(lambda: "labelling" in text_of(out / "logs/node.log") and len(children_of(demo)) >= 3, demo)
    children = children_of(demo)
    demo.send_signal(number)
    _, errors = demo.communicate(timeout=TIMEOUT_S)
    assert demo.returncode in (130, 128 + signal.SIGTERM)
    assert "Traceback" not in errors
    assert "player, node and recorder are stopped" in errors
    assert [pid for pid in children if Path(f"/proc/{pid}").exists()] == []


def test_demo_that_is_stopped_before_it_starts_a_process_speaks_of_none(weights, tmp_path, monkeypatch, capsys):
    def interrupted(*_arguments, **_named):
        raise KeyboardInterrupt

    monkeypatch.setattr(drive, "simulated_drive", interrupted)
    assert run(["demo", "--weights", str(weights), "--out", str(tmp_path / "out")]) == 130
    assert "interrupted: the demo is not finished; repeat the command" in capsys.readouterr().err


def wait_until(condition, demo):
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        assert demo.poll() is None, demo.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def text_of(path):
    return path.read_text() if path.exists() else ""


def children_of(process):
    return [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if parent_of(pid) == process.pid]


def parent_of(pid):
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return None
