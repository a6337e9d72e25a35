"""Signals that end a run: which one came, and the exit code that the command ends with."""

import os
import signal

import pytest

from pvd_cli.errors import interrupted_by
from training.run.stopping import StopRequest


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_run_in_order_remembers_its_signal_and_the_command_ends_with_its_exit_code(number, code):
    notes = []
    before = signal.getsignal(number)
    with StopRequest(None, notes.append) as stop:
        assert stop.reason(needed_s=0) is None
        os.kill(os.getpid(), number)
        assert stop.reason(needed_s=0) == "interrupted"
    assert len(notes) == 1
    assert signal.getsignal(number) is before
    assert interrupted_by(stop.signal_name).exit_code == code


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_the_process_was_started_to_ignore_stays_ignored(number):
    before = signal.signal(number, signal.SIG_IGN)
    try:
        with StopRequest(None, print) as stop:
            os.kill(os.getpid(), number)
            assert stop.reason(needed_s=0) is None
        assert signal.getsignal(number) == signal.SIG_IGN
    finally:
        signal.signal(number, before)


def test_a_stop_on_another_rank_counts_as_an_interrupt():
    assert interrupted_by(None).exit_code == 130
