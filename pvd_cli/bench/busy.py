"""Busy processes beside a measurement, as on a vehicle's computer."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator

# A thread waits for the end of stdin, which comes when the parent closes it or is gone, however it went. Ctrl-C reaches
# all processes of a terminal; the parent ends these.
_PROGRAM = """
import os, signal, sys, threading
signal.signal(signal.SIGINT, signal.SIG_IGN)
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
print(flush=True)
while True: pass
"""


@contextlib.contextmanager
def busy_processes(number: int) -> Iterator[None]:
    """Within the block `number` processes of normal priority are running, each a loop without a pause."""
    with contextlib.ExitStack() as processes:
        started = [processes.enter_context(_busy_process()) for _ in range(number)]
        for process in started:
            assert process.stdout is not None
            process.stdout.readline()  # it is in its loop
        yield


@contextlib.contextmanager
def _busy_process() -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-I", "-S", "-c", _PROGRAM]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()
