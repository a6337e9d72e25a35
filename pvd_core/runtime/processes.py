"""Processes that label: each starts in milliseconds instead of the seconds that importing torch takes."""

import multiprocessing
import signal
from multiprocessing import forkserver, resource_tracker
from multiprocessing.context import ForkServerContext


def labelling_processes() -> ForkServerContext:
    """A multiprocessing context whose processes are forked from a server that has imported the Segmenter. The server
    is started here if it does not run. SIGINT is blocked in it and in its processes: Ctrl-C in a terminal reaches them
    too, but only the process that started them is to act on it."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["pvd_core.segmenter"])
    resource_tracker.ensure_running()  # before, as it unblocks SIGINT once it runs
    earlier = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, earlier)
    return context
