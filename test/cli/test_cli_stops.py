"""Ctrl-C and SIGTERM that meet a command inside compiled code, which may give an error of its own in their place."""

import signal
import sys

import numpy as np
import pytest
from forked_calls import ForkedCall

import pvd_cli.main as commands
from pvd_cli.__main__ import main
from pvd_cli.errors import interruptible
from pvd_cli.stops import stop_behind


def _stopped_inside_numpy(number, has_note):
    """A whole `pvd doctor` whose work is one comparison of rows. numpy asks Python code for their common type, and
    there the signal comes."""

    def profile(frame, event, _):
        if event == "call" and frame.f_code.co_name == "_promote_fields":
            sys.setprofile(None)
            signal.raise_signal(number)

    def compare(**_):
        sys.setprofile(profile)
        np.unique(np.ones((4, 3), np.float32), axis=0)

    def compare_with_note(**_):
        with interruptible(lambda: "two scans are kept"):
            compare()

    command = type("Command", (), {"main": staticmethod(compare_with_note if has_note else compare)})
    commands.typer.main.get_command = lambda _: command
    sys.argv = ["pvd", "doctor"]
    main()


@pytest.mark.parametrize("has_note", [True, False])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stop_that_numpy_loses_still_ends_the_command_in_order(number, code, has_note):
    ended_with, output = ForkedCall(_stopped_inside_numpy, number, has_note).wait()
    assert ended_with == code, output
    assert "Traceback" not in output
    assert ("interrupted: two scans are kept" in output) == has_note


class _StopDuringImport:
    """An importer through which the signal comes when the commands are imported."""

    def __init__(self, number):
        self._number = number

    def find_spec(self, name, *_):
        if name == "pvd_cli.main":
            signal.raise_signal(self._number)


def _stopped_while_it_starts(number):
    del sys.modules["pvd_cli.main"]
    sys.meta_path.insert(0, _StopDuringImport(number))
    sys.argv = ["pvd", "doctor"]
    main()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stop_while_the_program_starts_is_no_traceback(number, code):
    assert ForkedCall(_stopped_while_it_starts, number).wait() == (code, "")


def test_errors_that_no_stop_came_before_pass_unchanged():
    error = ValueError("bad")
    error.__cause__ = OSError("disk")
    with pytest.raises(ValueError, match="bad") as passed, interruptible(lambda: "never said"):
        raise error
    assert passed.value is error
    assert stop_behind(error) is None
