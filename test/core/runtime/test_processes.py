"""Processes that leave Ctrl-C to the one that started them."""

import multiprocessing
import signal
import subprocess
import sys

from pvd_core.runtime.processes import without_signals

_BLOCKED = "import signal; print(sorted(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, []))))"


def _blocked(connection):
    connection.send(sorted(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, []))))


def test_processes_started_within_the_block_never_get_the_signals():
    with without_signals(signal.SIGINT, signal.SIGTERM):
        program = subprocess.Popen([sys.executable, "-c", _BLOCKED], stdout=subprocess.PIPE, text=True)
    assert program.communicate()[0] == f"{[int(signal.SIGINT), int(signal.SIGTERM)]}\n"

    mine, other = multiprocessing.Pipe()
    with without_signals(signal.SIGINT):
        process = multiprocessing.get_context("spawn").Process(target=_blocked, args=(other,))
        process.start()
    assert mine.recv() == [int(signal.SIGINT)]
    process.join()


def test_the_block_leaves_no_signal_blocked():
    with without_signals(signal.SIGINT):
        pass
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, [])
