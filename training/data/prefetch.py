"""Results of a function for a series of numbers, computed ahead by threads and handed out in order."""

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch

_Result = TypeVar("_Result")


def prefetched(
    function: Callable[[int], _Result], numbers: Iterable[int], num_workers: int
) -> Generator[_Result, None, None]:
    """Yields function(n) for each of `numbers`, in order, computed by `num_workers` threads at most 2 * num_workers
    ahead; with 0 workers each is computed when it is asked for.

    Threads and not processes: reading and voxelising release the interpreter lock, nothing is copied, and a killed run
    leaves nothing behind.
    """
    if num_workers == 0:
        yield from map(function, numbers)
        return
    pending: deque[Future[_Result]] = deque()
    executor = _executor_of_single_threads(num_workers)
    try:
        for number in numbers:
            pending.append(executor.submit(function, number))
            if len(pending) > 2 * num_workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def _executor_of_single_threads(num_workers: int) -> ThreadPoolExecutor:
    """An executor in whose threads torch uses one core each.

    Otherwise each would get an OpenMP team of its own. With more OpenMP threads than cores, idle teams sleep instead of
    spinning, and every parallel region of the network's thread would first have to wake its own team.
    """
    num_threads = torch.get_num_threads()
    all_started = threading.Barrier(num_workers + 1)

    def start() -> None:
        torch.set_num_threads(1)
        # torch applies the number to a thread when the thread first asks for it, not when it is set.
        torch.get_num_threads()
        all_started.wait()

    executor = ThreadPoolExecutor(num_workers, thread_name_prefix="prefetch", initializer=start)
    for _ in range(num_workers):
        executor.submit(int)
    all_started.wait()
    # The executor's threads keep their own number; this restores it for threads that are started later.
    torch.set_num_threads(num_threads)
    return executor
