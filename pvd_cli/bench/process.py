"""Starts a process for each job, and asks it for samples.

In one process, rows would share the peak memory, the number of threads, which some libraries read only at their start,
and oneDNN's cache of 1024 compiled kernels, which a few networks fill.
"""

import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from pvd_cli.bench.plan import Job
from pvd_core.runtime.processes import without_signals

_PACKAGES = Path(__file__).resolve().parents[2]
_SECONDS_TO_END = 10
_STDERR = 2


class CannotMeasureError(Exception):
    """This combination does not run here; the message says why."""


class MeasuringProcess:
    """`python -m pvd_cli.bench.worker` with one job, warm once this is built. `facts` and `labels` are those of its
    Measurement; `has_room_for_another` says whether memory is left for one more process like it."""

    def __init__(self, job: Job) -> None:
        """CannotMeasureError for a job that does not run here."""
        self.job = job
        python_path = filter(None, [str(_PACKAGES), os.environ.get("PYTHONPATH")])
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(python_path)}
        if job.threads:
            environment["OMP_NUM_THREADS"] = str(job.threads)
        self._connection, others = multiprocessing.Pipe()
        with others:
            number = others.fileno()
            command = [sys.executable, "-m", "pvd_cli.bench.worker", str(number)]
            # SIGTERM often goes to a whole group.
            with without_signals(signal.SIGINT, signal.SIGTERM):
                self._process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=_STDERR, env=environment, pass_fds=[number]
                )
        try:
            answer = self._ask(job)
            if "cannot" in answer:
                raise CannotMeasureError(answer["cannot"])
        except BaseException:
            self.end()
            raise
        self.facts, self.labels = answer["facts"], answer["labels"]
        self.has_room_for_another: bool = answer["has_room_for_another"]

    def repeat(self, first: int, most: int) -> list[dict[str, float]]:
        """Samples {what: milliseconds} of the repeats from number `first` on: as many as fit into a turn, at least one
        and at most `most`."""
        return self._ask((first, most))

    def end(self) -> None:
        """Ends the process and waits for it."""
        self._connection.close()
        try:
            self._process.wait(_SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _ask(self, message: Any) -> Any:
        try:
            self._connection.send(message)
            return self._connection.recv()
        except (EOFError, ConnectionError):
            code = self._process.wait()
        if code == -signal.SIGKILL:
            raise CannotMeasureError("the system killed the measuring process, most likely for its memory")
        engine = [*self.job.names.values(), f"--threads {self.job.threads}"]
        raise RuntimeError(f"measuring {', '.join(map(str, engine))} ended with code {code}; its error is above")
