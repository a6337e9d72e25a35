"""Results of a function for a run of numbers, computed ahead in threads, handed out in order."""

import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor

import torch


def prefetched(function, numbers, num_workers):
    """Yields function(n) for each of `numbers`, in order, at most 2 * num_workers ahead; without threads if 0.

    Threads and not processes: reading and voxelising release the interpreter lock, nothing is copied, and a killed run
    leaves nothing behind.
    """
    if num_workers == 0:
        yield from map(function, numbers)
        return
    numbers, pending = iter(numbers), deque()
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


def _executor_of_single_threads(num_workers):
    """An executor whose threads run torch on one core each.

    Otherwise each would get an OpenMP team of its own; with more OpenMP threads than cores the teams stop spinning, and
    every parallel region of the network's thread then waits for sleepers to wake.
    """
    num_threads = torch.get_num_threads()
    all_started = threading.Barrier(num_workers + 1)

    def start():
        torch.set_num_threads(1)
        # A thread adopts the number at its first question about it, not when it is set.
        torch.get_num_threads()
        all_started.wait()

    executor = ThreadPoolExecutor(num_workers, thread_name_prefix="prefetch", initializer=start)
    for _ in range(num_workers):
        executor.submit(int)
    all_started.wait()
    # Threads keep their own number; this is for those that others start later.
    torch.set_num_threads(num_threads)
    return executor
