"""Spreads the scans of several drives over processes. Every scan depends on its drive's settings and its index alone,
so any number of processes, and any order, writes the same bytes."""

import contextlib
import multiprocessing
import os
import queue
import signal
import threading
from concurrent.futures import ProcessPoolExecutor, wait
from dataclasses import dataclass

_SHORTEST_CHUNK = 50  # entering a street costs as much as some ten scans
_POLL_S = 0.2
_worker = None


@dataclass(frozen=True)
class Chunk:
    """Scans `first`..`stop` - 1 of one sequence."""

    sequence: str
    first: int
    stop: int


def num_cores():
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def split(missing, num_workers):
    """Chunks of {sequence: indices of its missing scans, increasing}; longer ones the fewer workers there are."""
    total = sum(len(indices) for indices in missing.values())
    longest = total if num_workers == 1 else max(_SHORTEST_CHUNK, -(-total // (2 * num_workers)))
    chunks = []
    for sequence, indices in missing.items():
        for index in indices:
            last = chunks[-1] if chunks else None
            if last and last.sequence == sequence and last.stop == index and index - last.first < longest:
                chunks[-1] = Chunk(sequence, last.first, index + 1)
            else:
                chunks.append(Chunk(sequence, index, index + 1))
    return chunks


def written_by_processes(write, chunks, num_workers):
    """Yields what `write(chunk)` yields in any of the processes, as it comes. `write` must pickle.

    An error in a process ends all; so does closing the generator, within the time of one scan. When this process is
    killed, the others end by themselves.
    """
    context = multiprocessing.get_context("spawn")
    done, stop = context.Queue(), context.Event()
    with ProcessPoolExecutor(num_workers, context, _enter, (write, done, stop)) as pool:
        futures = {pool.submit(_write_chunk, chunk) for chunk in chunks}
        try:
            while futures:
                finished, futures = wait(futures, timeout=_POLL_S, return_when="FIRST_COMPLETED")
                yield from _arrived(done)
                for future in finished:
                    future.result()
            yield from _arrived(done)
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)


def _arrived(done):
    with contextlib.suppress(queue.Empty):
        while True:
            yield done.get_nowait()


def _enter(write, done, stop):
    """Ctrl-C reaches every process of a terminal: the parent alone answers it. Nobody outlives the parent."""
    global _worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _worker = (write, done, stop)


def _end_with_parent():
    multiprocessing.parent_process().join()
    os._exit(1)


def _write_chunk(chunk):
    write, done, stop = _worker
    for path in write(chunk):
        done.put(path)
        if stop.is_set():
            return
