"""scripts/try_on_ros: what it says of steps that hold, fail, or lack their tool; and it leaves no process behind."""

import os
import signal
import sys

import numpy as np
import pytest
from ros_clouds import xyzi_cloud
from ros_processes import wait_until

from pvd_core.borders.errors import UserError
from pvd_ros.bags import BagWriter
from scripts.try_on_ros.__main__ import main
from scripts.try_on_ros.ear import shown
from scripts.try_on_ros.outcome import FAILED, HELD, NOT_THERE, Ledger, NotThereError
from scripts.try_on_ros.programs import Program
from scripts.try_on_ros.site import Site


def raising(error):
    def step():
        raise error

    return step


def test_a_step_that_fails_or_breaks_is_named_and_the_others_go_on(capsys):
    ledger = Ledger()
    assert ledger.attempt("first", lambda: "12 | 13\nclouds")
    assert not ledger.attempt("second", raising(UserError("one is missing")))
    assert not ledger.attempt("third", raising(ZeroDivisionError("broken")))
    assert ledger.has_failures
    assert [each.result for each in ledger.outcomes] == [HELD, FAILED, FAILED]
    assert "| first | held | 0 | 12 / 13 clouds |" in ledger.table()
    assert "FAILED     second, 0 s: one is missing" in capsys.readouterr().out
    assert "ZeroDivisionError: broken" in ledger.table()


def test_a_missing_tool_is_named_and_is_no_failure():
    ledger = Ledger()
    ledger.attempt("play", raising(NotThereError("ros2 bag")))
    assert not ledger.has_failures
    assert f"| play | {NOT_THERE} | 0 | ros2 bag |" in ledger.table()


def test_only_the_steps_asked_for_and_those_that_they_need_are_tried():
    ledger = Ledger("launch")
    assert not ledger.attempt("ros2 bag", raising(AssertionError("not asked for")))
    assert ledger.attempt("build", lambda: "", is_needed=True)
    assert ledger.attempt("ros2 launch x", lambda: "")
    assert [each.name for each in ledger.outcomes] == ["build", "ros2 launch x"]


def program(folder, shell, patience_s=60):
    return Program("some program", ["sh", "-c", shell], os.environ, folder, patience_s)


def test_processes_that_a_program_leaves_are_found_and_ended(tmp_path):
    with program(tmp_path, "setsid sh -c 'echo started; sleep 1000; :' & wait") as running:
        running.wait_for("started")
        wait_until(lambda: len(running.left()) == 3)
        running.interrupt()
        assert len(running.left()) == 2  # setsid has taken them out of the reach of Ctrl-C
    wait_until(lambda: not running.left())


def test_ctrl_c_reaches_programs_where_a_shell_in_the_background_ignores_it(tmp_path):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with program(tmp_path, "echo started; exec sleep 1000", patience_s=9) as running:
            running.wait_for("started")
            assert running.interrupt() == -signal.SIGINT
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_program_that_ends_instead_of_getting_ready_is_quoted(tmp_path):
    with program(tmp_path, "echo no such network; exit 3") as running:
        with pytest.raises(UserError, match="some program did not say 'ready' and ended: no such network"):
            running.wait_for("ready")
        assert running.wait() == 3


def test_a_command_is_run_until_it_finds_what_it_asks_for(tmp_path):
    late = "echo . >> tries; [ $(wc -l < tries) -gt 9 ] && echo found || echo Node not found; exit 1"
    site = Site(tmp_path, 60, os.environ)
    assert site.output_without("Node not found", 60, "sh", "-c", late) == "found\n"
    assert (tmp_path / "tries").read_text().count(".") == 10
    assert site.output_without("Node not found", 0.1, "echo", "Node not found") == "Node not found\n"


def test_counters_are_shown_without_those_that_are_zero():
    counts = {"received": 12, "labelled": 4, "dropped": 8, "rejected": 0, "skipped": 0, "lost": 0}
    assert shown(counts) == "received 12, labelled 4, dropped 8"


def test_without_a_sourced_ros_it_says_what_to_do(monkeypatch, capsys):
    monkeypatch.delenv("AMENT_PREFIX_PATH", raising=False)
    assert main([]) == 2
    assert "try_on_ros: no ROS 2 is sourced; in this terminal: source" in capsys.readouterr().err


def test_where_tools_of_ros_are_missing_their_steps_are_skipped_by_name(tmp_path, monkeypatch, capsys):
    pytest.importorskip("rclpy", reason="needs rclpy: pip install 'pvd_ros[ros]' or source a ROS 2")
    prefix = tmp_path / "prefix/lib"
    prefix.mkdir(parents=True)
    (prefix / "librmw_fastrtps_cpp.so").touch()
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(prefix.parent))
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    (tmp_path / "python3").symlink_to(sys.executable)
    with BagWriter(tmp_path / "drive") as bag:
        bag.write_cloud("/lidar", xyzi_cloud(np.ones((9, 4), np.float32)), 1)
    kept = tmp_path / "kept"
    assert main(["--only", "ros2 ", "--bag", str(tmp_path / "drive"), "--keep", str(kept)]) == 0
    lines = capsys.readouterr().out.split("\n")
    assert "| colcon build | not there | 0 | colcon |" in lines
    assert "| ros2 bag info | not there | 0 | ros2 |" in lines
    assert "| past clouds by /tf, ros2 bag play | not there | 0 | ros2 |" in lines
    assert not any("FAILED" in line for line in lines)
    assert main(["--keep", str(kept)]) == 2
    assert f"{kept} exists already" in capsys.readouterr().err
