"""Signals that end a program: copies that come at once, as of `ros2 launch` without a terminal, and a later one."""

import signal
import subprocess
import sys

import pytest

SIGNALS = [signal.SIGINT, signal.SIGTERM]

PROGRAM = """
import signal
from pvd_ros.middleware import ros_session

with ros_session.stop_on_signals("ending") as stop:
    assert not stop.is_set()
    signal.raise_signal(signal.{first})
    assert stop.is_set()
    {between}
    signal.raise_signal(signal.{second})
signal.raise_signal(signal.{first})
signal.raise_signal(signal.{second})
print("ended in order")
"""


def ended(first, second, between="pass"):
    code = PROGRAM.format(first=first.name, second=second.name, between=between)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


@pytest.mark.parametrize("second", SIGNALS)
@pytest.mark.parametrize("first", SIGNALS)
def test_copies_of_a_signal_let_the_program_end_in_order_and_say_so_once(first, second):
    found = ended(first, second)
    assert (found.returncode, found.stdout, found.stderr) == (0, "ended in order\n", "ending\n")


@pytest.mark.parametrize("second", SIGNALS)
@pytest.mark.parametrize("first", SIGNALS)
def test_a_second_signal_of_either_kind_that_comes_later_ends_the_program_at_once(first, second):
    assert ended(first, second, between="ros_session._COPIES_WITHIN_S = 0").returncode == -second


def test_without_a_signal_the_program_gets_its_handlers_back():
    code = """
import signal
from pvd_ros.middleware.ros_session import stop_on_signals

before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
with stop_on_signals():
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] != before
assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_during_the_first_slow_import_ends_the_node_in_order(number):
    pytest.importorskip("rclpy", reason="needs rclpy: pip install 'pvd_ros[ros]' or source a ROS 2")
    code = f"""
import signal, sys


class Watch:
    def find_spec(self, name, path=None, target=None):
        if name in ("numpy", "yaml", "rclpy", "torch"):
            sys.meta_path.remove(self)
            signal.raise_signal(signal.{number.name})


sys.meta_path.insert(0, Watch())
from pvd_ros.node import main

sys.exit(main([]))
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    assert found.stderr.count("segmenter_node: ending") == 1
    assert "network ready" not in found.stderr
