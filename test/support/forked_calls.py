"""Calls in processes of their own, forked from one that has imported torch: each starts in milliseconds."""

import atexit
import multiprocessing
import os
import signal
import tempfile
import time
from pathlib import Path

# A server process imports those of these that are installed once, and forks for each call. It ends with the process of
# the tests.
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    ["pytest", "training.run.loop", "pvd_ros.node.segmenter_node", "pvd_ros.play", "pvd_ros.record"]
)
# Only bounds a hang.
_DEADLINE_S = 300
_started = []


class ForkedCall:
    """A function that runs in a process of its own; its module must be importable."""

    def __init__(self, function, *arguments):
        handle, path = tempfile.mkstemp(prefix="forked_call_", suffix=".log")
        os.close(handle)
        self._log = Path(path)
        self._process = _CONTEXT.Process(target=_call, args=(path, function, arguments))
        self._process.start()
        _started.append(self)
        self.pid = self._process.pid

    def output(self):
        """What it has written to stdout and stderr."""
        return self._log.read_text()

    def exit_code(self):
        """None while it runs; minus the signal's number if a signal ended it."""
        return self._process.exitcode

    def wait(self):
        """Exit code and output, once it has ended."""
        self._process.join(_DEADLINE_S)
        if self.exit_code() is None:
            self.kill()
            raise TimeoutError(f"still ran after {_DEADLINE_S} s: {self.output()}")
        return self.exit_code(), self.output()

    def wait_until(self, condition):
        """Waits for condition() while the call runs."""
        deadline = time.monotonic() + _DEADLINE_S
        while not condition():
            assert self.exit_code() is None, self.output()
            assert time.monotonic() < deadline, self.output()
            time.sleep(0.001)

    def send_signal(self, number):
        os.kill(self.pid, number)

    def kill(self):
        """Ends it at once and waits for that."""
        if self.exit_code() is None:
            self.send_signal(signal.SIGKILL)
        self._process.join()


def _call(log, function, arguments):
    # A server that labelling_processes() has started blocks it.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    handle = os.open(log, os.O_WRONLY | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(handle, stream)
    os.close(handle)
    function(*arguments)


@atexit.register
def _end_all():
    """Python would wait for what a failed test has left running."""
    for call in _started:
        call.kill()
        call._log.unlink()
