"""Programs of ROS as processes of their own: started, waited for, interrupted, and looked for afterwards."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pvd_core.borders.errors import UserError

_POLL_S = 0.1
_LAST_LINES = 4
# Every process that comes of a program carries its number in this variable, however it was started.
_MARK = "PVD_TRY_ON_ROS"


class Program:
    """A running command, its output in a log file. A context manager: leaving it ends all that came of it."""

    def __init__(
        self, name: str, command: Sequence[object], environment: Mapping[str, str], folder: Path, patience_s: float
    ) -> None:
        self.name, self.log = name, folder / f"{name.replace(' ', '_')}.log"
        self._patience_s, self._mark = patience_s, f"{_MARK}={uuid.uuid4().hex}"
        variable, _, value = self._mark.partition("=")
        with self.log.open("w") as log:
            # A session of its own: a signal to its group is what Ctrl-C in a terminal is.
            self._process = subprocess.Popen(
                [str(word) for word in command],
                cwd=folder,
                env={**environment, variable: value, "PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # A shell that starts this script in the background has it ignore Ctrl-C, and with it its programs.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *exception: object) -> None:
        for number in self.left():
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        self._process.wait()

    @property
    def has_ended(self) -> bool:
        """Whether the command itself has ended."""
        return self._process.poll() is not None

    def text(self) -> str:
        """What it has printed so far."""
        return self.log.read_text(errors="replace")

    def wait_for(self, pattern: str) -> None:
        """Returns once it has printed what fits the regular expression; UserError if it ends before, or takes long."""
        self.wait_until(lambda: re.search(pattern, self.text()), f"did not say {pattern!r}")

    def wait_until(self, condition: Callable[[], object], complaint: str) -> None:
        """Returns once the condition holds; UserError if the program ends before, or it takes long."""
        deadline = time.monotonic() + self._patience_s
        while not condition():
            if self.has_ended and not condition():
                raise UserError(f"{self.name} {complaint} and ended: {self.last_lines()}")
            if time.monotonic() > deadline:
                raise UserError(f"{self.name} {complaint} within {self._patience_s:g} s: {self.last_lines()}")
            time.sleep(_POLL_S)

    def interrupt(self) -> int:
        """Ctrl-C, and the exit code after it."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGINT)
        return self.wait()

    def wait(self) -> int:
        """The exit code of a program that ends by itself; UserError if it does not."""
        try:
            return self._process.wait(self._patience_s)
        except subprocess.TimeoutExpired:
            raise UserError(f"{self.name} did not end within {self._patience_s:g} s: {self.last_lines()}") from None

    def left(self) -> list[int]:
        """Numbers of the processes that came of it and still run, itself too."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if self._mark.encode() in (folder / "environ").read_bytes().split(b"\0"):
                    found.append(int(folder.name))
        return found

    def last_lines(self) -> str:
        """The end of what it printed, for an error."""
        lines = self.text().strip().splitlines()
        return f"{' / '.join(lines[-_LAST_LINES:]) or 'no output'} (all of it in {self.log})"
