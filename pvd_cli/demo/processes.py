"""Child processes of the demo: each with a log file, none outliving the demo, no wait without a deadline."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO

from pvd_core.borders.errors import UserError

_POLL_S = 0.05
_GRACE_S = 10


class Child:
    """`python -m MODULE ARGUMENTS...`, its output in a log file. A context manager: leaving it ends the process."""

    def __init__(
        self, name: str, module: str, arguments: Iterable[object], environment: Mapping[str, str], log: str | Path
    ) -> None:
        self.name, self.log = name, Path(log)
        self._command = [sys.executable, "-m", module, *map(str, arguments)]
        self._environment = {**os.environ, **environment, "PYTHONUNBUFFERED": "1"}
        self._log_file: IO[bytes] | None = None
        self._started: subprocess.Popen | None = None

    def __enter__(self) -> "Child":
        try:
            # A signal while the process starts would leave it running: nobody holds it yet.
            with _signals_deferred():
                self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    @property
    def _process(self) -> subprocess.Popen:
        assert self._started is not None, "used before it was entered"
        return self._started

    def _start(self):
        self._log_file = self.log.open("wb")
        # A session of its own: Ctrl-C reaches the demo alone, which then ends the children in order.
        self._started = subprocess.Popen(
            self._command,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=self._log_file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def __exit__(self, *exception: object) -> None:
        if self._started is not None and self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGTERM)
            try:
                self._process.wait(_GRACE_S)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
        if self._log_file is not None:
            self._log_file.close()

    def resident_mb(self) -> float:
        """Memory that the process holds now; Linux only."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024

    @property
    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def check_alive(self) -> None:
        """Raises UserError with the last lines of the log where the process has ended with an error."""
        if self._process.poll():
            raise UserError(f"the {self.name} ended with exit code {self._process.returncode}: {self._last_lines()}")

    def wait_for_output(self, text: str, timeout_s: float) -> None:
        """Returns when `text` is in the log; UserError when the process ends before or the time is over."""
        deadline = time.monotonic() + timeout_s
        while text not in self.log.read_text(errors="replace"):
            if self.has_ended or time.monotonic() > deadline:
                why = "ended" if self.has_ended else f"did not get ready within {timeout_s:g} s"
                raise UserError(f"the {self.name} {why}: {self._last_lines()}")
            time.sleep(_POLL_S)

    def finish(self, timeout_s: float) -> None:
        """Asks the process to end in its own order and waits; UserError where it does not or ends with an error."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGINT)
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise UserError(f"the {self.name} did not end within {timeout_s:g} s: {self._last_lines()}") from None
        self.check_alive()

    def _last_lines(self):
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return f"{' / '.join(lines[-3:]) or 'no output'} (all of it in {self.log})"


@contextlib.contextmanager
def _signals_deferred():
    """SIGINT and SIGTERM that come inside the block are delivered at its end."""
    came = []
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in handlers:
        signal.signal(number, lambda number, _frame: came.append(number))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for late in came:
            signal.raise_signal(late)
