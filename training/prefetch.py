"""Results of a function for a run of numbers, computed ahead in threads, handed out in order."""

from collections import deque
from concurrent.futures import ThreadPoolExecutor


def prefetched(function, numbers, num_workers):
    """Yields function(n) for each of `numbers`, in order, at most 2 * num_workers ahead; without threads if 0.

    Threads and not processes: reading and voxelising release the interpreter lock, nothing is copied, and a killed run
    leaves nothing behind.
    """
    if num_workers == 0:
        yield from map(function, numbers)
        return
    numbers, pending = iter(numbers), deque()
    executor = ThreadPoolExecutor(num_workers, thread_name_prefix="prefetch")
    try:
        for number in numbers:
            pending.append(executor.submit(function, number))
            if len(pending) > 2 * num_workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        executor.shutdown(wait=True, cancel_futures=True)
