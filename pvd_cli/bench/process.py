"""A process that measures one job: its own threads, its own memory, its own compiled kernels.

In one process, rows would share a peak memory, a number of threads that some libraries read only at their start, and
oneDNN's cache of 1024 compiled kernels, which a few networks fill.
"""

import dataclasses
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

_PACKAGES = Path(__file__).resolve().parents[2]
_SECONDS_TO_END = 10


class CannotMeasureError(Exception):
    """This combination does not run here; the message says why."""


class MeasuringProcess:
    """Runs `job` in `python -m pvd_cli.bench.worker`; a context manager that ends it. `facts` is what the job's
    measurement says of itself once it is warm."""

    def __init__(self, job):
        self.job = job
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(_PACKAGES), *_python_path()])}
        if job.threads:
            environment["OMP_NUM_THREADS"] = str(job.threads)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "pvd_cli.bench.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )
        try:
            answer = self._ask(dataclasses.asdict(job))
            if "cannot" in answer:
                raise CannotMeasureError(answer["cannot"])
        except BaseException:
            self.end()
            raise
        self.facts = answer["facts"]
        self.has_room_for_another = answer["has_room_for_another"]

    def repeat(self, first, most):
        """Dictionaries {what: milliseconds} of the repeats from number `first`, at least one and at most `most`: as
        many as fit into a turn."""
        return self._ask({"first": first, "most": most})["samples"]

    def end(self):
        self._process.stdin.close()
        try:
            self._process.wait(_SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.end()

    def _ask(self, message):
        try:
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if answer:
            return json.loads(answer)
        code = self._process.wait()
        if code == -signal.SIGKILL:
            raise CannotMeasureError("the system killed the measuring process, most likely for its memory")
        raise RuntimeError(f"the process that measured {self.job.title} ended with code {code}; its error is above")


def _python_path():
    return [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
