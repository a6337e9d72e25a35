"""Player, node and recorder as real processes over real Fast DDS, each test on a domain of its own."""

from __future__ import annotations

import fcntl
import importlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

from forked_calls import ForkedCall

ROOT = Path(__file__).resolve().parents[2]
# Only bounds a hang.
DEADLINE_S = 180


@contextmanager
def free_domain():
    """A ROS_DOMAIN_ID that no other test run of this machine uses meanwhile."""
    for domain in range(1, 100):
        with open(Path(tempfile.gettempdir()) / f"pvd_ros_test_domain_{domain}.lock", "w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                continue
            yield domain
            return
    raise RuntimeError("no free ROS domain among 1..99")


class Graph:
    """Starts modules of this project as processes on one domain and ends them with the test."""

    def __init__(self, folder: Path, domain: int, stack: ExitStack):
        self.folder = folder
        self.environment = os.environ | {
            "ROS_DOMAIN_ID": str(domain),
            "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
            "ROS_LOG_DIR": str(folder / "log"),
            "OMP_NUM_THREADS": "1",
            "PYTHONUNBUFFERED": "1",
        }
        self._stack = stack

    def start(self, module: str, *arguments, ready: str = "") -> Process:
        """A running process; with `ready`, once it has printed that."""
        return self._start(module, ["-m", module, *arguments], ready)

    def start_script(self, script: Path, *arguments, ready: str = "") -> Process:
        """As `start`, for a file of Python."""
        return self._start(script.stem, [script, *arguments], ready)

    def _start(self, name: str, arguments, ready: str) -> Process:
        path = self.folder / f"{name}_{time.monotonic_ns()}.log"
        command = [sys.executable, *map(str, arguments)]
        with path.open("w") as log:
            process = subprocess.Popen(command, cwd=ROOT, env=self.environment, stdout=log, stderr=subprocess.STDOUT)
        self._stack.callback(_end, process)
        started = Process(process, path)
        if ready:
            started.wait_for_text(ready)
        return started

    def fork(self, module: str, *arguments, ready: str = "") -> ForkedProcess:
        """As `start`, in a process that has imported torch and rclpy before: quicker."""
        call = ForkedCall(_run_module, module, self.environment, [str(word) for word in arguments])
        self._stack.callback(call.kill)
        forked = ForkedProcess(call)
        if ready:
            forked.wait_for_text(ready)
        return forked


class Process:
    def __init__(self, process: subprocess.Popen, log: Path):
        self._process = process
        self._log = log
        self.pid = process.pid

    def resident_mb(self) -> float:
        """Memory that the process holds now."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024

    def text(self) -> str:
        return self._log.read_text(errors="replace")

    def wait_for_text(self, wanted: str) -> None:
        _wait_for_text(self.text, wanted, lambda: self._process.poll() is not None)

    def wait(self) -> int:
        """The exit code of a process that ends by itself."""
        return self._process.wait(timeout=DEADLINE_S)

    def stop(self, number: int = signal.SIGINT) -> int:
        """The exit code after a signal."""
        self._process.send_signal(number)
        return self.wait()


class ForkedProcess:
    def __init__(self, call: ForkedCall):
        self._call = call
        self.pid = call.pid
        self.text = call.output

    def wait_for_text(self, wanted: str) -> None:
        _wait_for_text(self.text, wanted, lambda: self._call.exit_code() is not None)

    def wait(self) -> int:
        """The exit code of a process that ends by itself."""
        return self._call.wait()[0]

    def stop(self, number: int = signal.SIGINT) -> int:
        """The exit code after a signal."""
        self._call.send_signal(number)
        return self.wait()


def _run_module(module: str, environment: dict[str, str], arguments: list[str]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    sys.stdout.reconfigure(line_buffering=True)
    sys.argv = [module, *arguments]
    sys.exit(importlib.import_module(module).main())


@contextmanager
def graph(folder: Path):
    with free_domain() as domain, ExitStack() as stack:
        yield Graph(folder, domain, stack)


def wait_until(condition, deadline_s: float = DEADLINE_S, pause_s: float = 0.02) -> None:
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, f"not within {deadline_s} s"
        time.sleep(pause_s)


def _wait_for_text(text, wanted: str, has_ended) -> None:
    wait_until(lambda: wanted in text() or has_ended())
    assert wanted in text(), f"{wanted!r} never appeared:\n{text()}"


def _end(process: subprocess.Popen) -> None:
    if process.poll() is None:
        process.kill()
    process.wait()
