"""Starting processes: ones that label and start in milliseconds instead of the seconds that importing torch takes, and
ones that leave Ctrl-C to the process that started them."""

import contextlib
import multiprocessing
import signal
from collections.abc import Iterator
from multiprocessing import forkserver, resource_tracker
from multiprocessing.context import ForkServerContext


@contextlib.contextmanager
def without_signals(*numbers: signal.Signals) -> Iterator[None]:
    """Processes that are started within the block never get these signals, from their first instruction on: Ctrl-C in a
    terminal reaches all processes, but only the one that started the others is to act on it."""
    resource_tracker.ensure_running()  # before, as it unblocks signals once it runs
    earlier = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, earlier)


def labelling_processes() -> ForkServerContext:
    """A multiprocessing context whose processes are forked from a server that has imported the Segmenter. The server
    is started here if it does not run. It and its processes never get SIGINT."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["pvd_core.segmenter"])
    with without_signals(signal.SIGINT):
        forkserver.ensure_running()
    return context
