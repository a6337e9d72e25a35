"""`make delivery`: what arrives from another process, over the real middleware, and what its figures say."""

import json
import os
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="needs rclpy: pip install 'pvd_ros[ros]' or source a ROS 2")

from pvd_core.borders.errors import UserError
from scripts.delivery.__main__ import main
from scripts.delivery.case import DEFAULT, SHIPPED, Case
from scripts.delivery.figures import markdown_of, row_of

STAMPS = [1_000_000_000, 1_100_000_000, 1_200_000_000, 1_300_000_000]


@pytest.mark.parametrize(("settings", "profile"), [(DEFAULT, "plain"), (SHIPPED, "fastdds")])
def test_small_clouds_are_sent_and_received_or_lost(tmp_path, capsys, monkeypatch, settings, profile):
    monkeypatch.setenv("FASTRTPS_DEFAULT_PROFILES_FILE", "/the/users/own.xml")
    files = ["--json", str(tmp_path / "a.json"), "--markdown", str(tmp_path / "a.md")]
    short = ["--points", "1000", "--rate", "20", "--seconds", "1", "--reliability", "reliable", "--settings", settings]
    assert main([*short, *files, "--out", str(tmp_path)]) == 0
    first, *table = capsys.readouterr().out.splitlines()
    row = json.loads(first)
    assert (row["settings"], row["reliability"], row["points"], row["rate_hz"]) == (settings, "reliable", 1000, 20)
    assert 10 <= row["sent"] <= 20
    assert row["received"] + row["lost"] == row["sent"]
    assert row["received"] > 0
    assert 0 < row["median_ms"] <= row["p99_ms"]
    assert min(row["publisher_cpu_percent"], row["subscriber_cpu_percent"]) > 0
    assert os.environ["FASTRTPS_DEFAULT_PROFILES_FILE"] == "/the/users/own.xml"
    assert profile in json.loads((tmp_path / "subscriber.json").read_text())["settings"]
    figures = json.loads((tmp_path / "a.json").read_text())
    assert figures["rows"] == [row]
    assert figures["cpu"]
    assert (tmp_path / "a.md").read_text().splitlines() == table


def row(heard, warm_ups=10, settings=SHIPPED, cpu_s=0.1):
    sent = {"stamps": STAMPS, "cpu_s": 0.5}
    report = {"middleware": "rmw_x", "settings": "/a/fast.xml", "warm_ups": warm_ups, "heard": heard, "cpu_s": cpu_s}
    return row_of(Case(settings, "best_effort", 120_000, 10, 2.0), sent, report) | {"load": 0.5}


def test_figures_are_those_of_the_stamps():
    found = row(
        [[STAMPS[0], STAMPS[0] + 3_000_000], [STAMPS[1], STAMPS[1] + 5_000_000], [STAMPS[3], STAMPS[3] + 10**7]]
    )
    assert (found["sent"], found["received"], found["lost"], found["lost_percent"]) == (4, 3, 1, 25.0)
    assert (found["median_ms"], found["p99_ms"]) == (5.0, 9.9)
    assert (found["publisher_cpu_percent"], found["subscriber_cpu_percent"]) == (25.0, 5.0)
    assert found["settings_file"] == "fast.xml"


def test_a_cloud_that_comes_twice_counts_once():
    assert row([[STAMPS[0], STAMPS[0] + 1_000_000]] * 2)["received"] == 1


def test_where_nothing_arrives_there_is_no_latency():
    found = row([], settings=DEFAULT)
    assert (found["received"], found["lost_percent"], found["median_ms"], found["p99_ms"]) == (0, 100.0, None, None)
    table = markdown_of({"cpu": "x", "cores": 2, "rmem_max": 9, "rows": [found]})
    assert "| default | best effort | 120,000 | 10 | 4 | 0 | 100.0 | - | - | 25.0 | 5.0 |" in table


def test_clouds_before_discovery_are_no_losses():
    with pytest.raises(UserError, match="had not found the publisher"):
        row([], warm_ups=0)


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--points", "0", "--points 0: expected whole numbers from 1 to 1,000,000"),
        ("--rate", "10,0", "--rate 10,0: expected whole numbers from 1 to 200"),
        ("--seconds", "0", "--seconds 0: expected 1 to 3600"),
        ("--reliability", "relible", "unknown reliability 'relible'; did you mean 'reliable'? "),
        ("--settings", "mine", "unknown setting 'mine'"),
        ("--settings", "", "--settings is empty"),
        ("--json", str(Path(__file__).parent), "is a folder"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_starts(tmp_path, capsys, option, value, words):
    assert main([option, value, "--out", str(tmp_path / "out")]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
