"""The program that times the codec."""

import json
import sys

import pytest

pytest.importorskip("rclpy", reason="its messages are those of rclpy")

from scripts import codec


def test_both_ways_give_the_same_message_and_their_times_are_written(tmp_path, monkeypatch, capsys):
    words = [
        "--points",
        "1000",
        "--runs",
        "3",
        "--json",
        str(tmp_path / "a.json"),
        "--markdown",
        str(tmp_path / "a.md"),
    ]
    monkeypatch.setattr(sys, "argv", ["codec", *words])
    assert codec.main() == 0
    rows = json.loads((tmp_path / "a.json").read_text())["rows"]
    assert [row["way"] for row in rows] == ["pvd_ros", "per field"]
    assert all(0 < row["decode_ms"] <= row["together_ms"] for row in rows)
    assert (tmp_path / "a.md").read_text() in capsys.readouterr().out
