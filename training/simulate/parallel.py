"""Divides the scans of several drives among processes. A scan depends only on its drive's settings and its index, so
any number of processes writes the same bytes, in any order."""

import contextlib
import multiprocessing
import os
import queue
import signal
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pvd_core.runtime.processes import without_signals

if TYPE_CHECKING:
    from multiprocessing.queues import Queue
    from multiprocessing.synchronize import Event

_SHORTEST_CHUNK = 50  # building the first blocks takes as long as about ten scans
_POLL_S = 0.2
_worker: "tuple[Callable[[Chunk], Iterable[Path]], Queue[Path], Event] | None" = None
"""Set in each worker process by `_enter`."""


@dataclass(frozen=True)
class Chunk:
    """Scans `first`..`stop` - 1 of one sequence."""

    sequence: str
    first: int
    stop: int


def num_cores() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def split(missing: Mapping[str, Sequence[int]], num_workers: int) -> list[Chunk]:
    """Chunks of consecutive missing scans. missing: {sequence: indices of its missing scans, increasing}. Chunks are
    the longer the fewer workers there are."""
    total = sum(len(indices) for indices in missing.values())
    longest = total if num_workers == 1 else max(_SHORTEST_CHUNK, -(-total // (2 * num_workers)))
    chunks: list[Chunk] = []
    for sequence, indices in missing.items():
        for index in indices:
            last = chunks[-1] if chunks else None
            if last and last.sequence == sequence and last.stop == index and index - last.first < longest:
                chunks[-1] = Chunk(sequence, last.first, index + 1)
            else:
                chunks.append(Chunk(sequence, index, index + 1))
    return chunks


def written_by_processes(
    write: Callable[[Chunk], Iterable[Path]], chunks: Sequence[Chunk], num_workers: int
) -> Generator[Path, None, None]:
    """Yields the paths that `write(chunk)` yields in the processes, in the order of their arrival. `write` must pickle.

    An error in one process ends all, and is raised here. Closing the generator ends them within the time of one scan.
    They also end when this process is killed.
    """
    context = multiprocessing.get_context("spawn")
    done, stop = context.Queue(), context.Event()
    with ProcessPoolExecutor(num_workers, context, _enter, (write, done, stop)) as pool:
        with without_signals(signal.SIGINT):
            futures = {pool.submit(_write_chunk, chunk) for chunk in chunks}
        num_missing = 0  # paths of finished chunks that are still on their way: a result may overtake them
        try:
            while futures:
                finished, futures = wait(futures, timeout=_POLL_S, return_when="FIRST_COMPLETED")
                for path in _arrived(done):
                    num_missing -= 1
                    yield path
                num_missing += sum(future.result() for future in finished)
            for _ in range(num_missing):
                yield done.get()
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)


def _arrived(done: "Queue[Path]") -> Iterator[Path]:
    """The paths that are in the queue now."""
    with contextlib.suppress(queue.Empty):
        while True:
            yield done.get_nowait()


def _enter(write: Callable[[Chunk], Iterable[Path]], done: "Queue[Path]", stop: "Event") -> None:
    """Prepares a worker process, which ends when the parent ends."""
    global _worker
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _worker = (write, done, stop)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None  # this runs in a child process
    parent.join()
    os._exit(1)


def _write_chunk(chunk: Chunk) -> int:
    """Number of paths that were put into the queue."""
    assert _worker is not None  # _enter has run
    write, done, stop = _worker
    num_paths = 0
    for path in write(chunk):
        done.put(path)
        num_paths += 1
        if stop.is_set():
            break
    return num_paths
