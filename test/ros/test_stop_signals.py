"""Signals that end a program: copies that come at once, as of `ros2 launch` without a terminal, and a later one."""

import signal
import subprocess
import sys

import pytest

PROGRAM = """
import signal
from pvd_ros.middleware import ros_session

with ros_session.stop_on_signals() as stop:
    assert not stop.is_set()
    signal.raise_signal(signal.{number})
    assert stop.is_set()
    {between}
    signal.raise_signal(signal.{number})
signal.raise_signal(signal.{number})
print("ended in order")
"""


def ended(number, between="pass"):
    code = PROGRAM.format(number=number.name, between=between)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_copies_of_a_signal_let_the_program_end_in_order(number):
    found = ended(number)
    assert (found.returncode, found.stdout) == (0, "ended in order\n"), found.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_comes_again_later_ends_the_program_at_once(number):
    assert ended(number, between="ros_session._COPIES_WITHIN_S = 0").returncode == -number


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
