"""`make overload`: real clouds into the real node for some seconds, and what its figures say."""

import argparse
import json

import pytest
from ros_weights import tiny_weights

pytest.importorskip("rclpy", reason="needs rclpy: pip install 'pvd_ros[ros]' or source a ROS 2")

from scripts.endurance.__main__ import main
from scripts.endurance.figures import complaints, figures_of, markdown_of
from scripts.endurance.sensor import Run

NUMBERS = ("received", "labelled", "dropped", "rejected", "skipped", "p99_over_processing", "rss_growth_percent")


def test_overload_prints_one_line_of_json_in_which_every_cloud_is_accounted_for(tmp_path, capsys):
    files = ["--json", str(tmp_path / "overload.json"), "--markdown", str(tmp_path / "overload.md")]
    short = ["--minutes", "0.05", "--points", "20000", "--out", str(tmp_path / "out"), *files]
    # How long clouds take on a machine that tests share is not looked at here.
    assert main([*short, f"weights:={tiny_weights(tmp_path)}", "device:=cpu"]) in (0, 1)
    figures = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert set(NUMBERS) <= figures.keys()
    assert figures["received"] == sum(figures[name] for name in ("labelled", "dropped", "rejected", "skipped"))
    assert 0 < figures["labelled"] < figures["received"] <= figures["sent"]
    assert figures["dropped"] > 0
    assert json.loads((tmp_path / "overload.json").read_text()) == figures
    assert f"| labelled | {figures['labelled']} |" in (tmp_path / "overload.md").read_text()


def test_a_node_that_does_not_start_is_said_with_its_message(tmp_path, capsys):
    assert main(["--out", str(tmp_path), "weights:=/nowhere.safetensors"]) == 2
    assert "/nowhere.safetensors: does not exist" in capsys.readouterr().err


def figures(totals_ms=(100.0,) * 50, waited_ms=20.0, memory_mb=(400.0,) * 50, **counts):
    counts = {"received": 255, "labelled": 55, "dropped": 200, "rejected": 0, "skipped": 0, "lost": 0} | counts
    run = Run(5, 250, list(totals_ms), [waited_ms] * len(totals_ms), list(memory_mb))
    options = argparse.Namespace(minutes=1.0, times=5.0, points=60_000)
    return figures_of(run, counts, options)


def test_figures_are_those_of_the_clouds_under_load():
    found = figures()
    assert (found["received"], found["labelled"], found["unaccounted"]) == (250, 50, 0)
    assert (found["processing_ms"], found["p99_over_processing"], found["rss_growth_percent"]) == (100.0, 1.2, 0.0)
    assert complaints(found) == []
    assert markdown_of(found).count("\n") == 2 + len(found)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"received": 260}, "5 received clouds are not accounted for"),
        ({"waited_ms": 101.0}, "took 2.01 processing times from arrival to published"),
        ({"memory_mb": [400.0 + i for i in range(100)]}, "memory grew by 19."),
        ({"totals_ms": (), "labelled": 5, "dropped": 250}, "no cloud was labelled"),
        ({"dropped": 0, "received": 55}, "no cloud was dropped"),
    ],
)
def test_what_does_not_hold_is_said(changes, words):
    assert words in " ".join(complaints(figures(**changes)))
