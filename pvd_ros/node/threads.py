"""How many CPU threads the network gets: as many as label fastest on this machine as it is now. Imports torch."""

from __future__ import annotations

import functools
import time
from statistics import median

import torch

from pvd_core.clouds.example import spinning_scan
from pvd_core.committee import AnySegmenter

_NUM_POINTS, _NUM_ROUNDS = 24_000, 3
# More threads take cores from other programs, for which a few percent are no reason.
_LEAST_GAIN = 0.1


@functools.cache
def own_threads() -> int:
    """The number of threads that torch takes by itself; to be asked before it is changed."""
    return torch.get_num_threads()


def choose_threads(segmenter: AnySegmenter, num_threads: int, most: int) -> str:
    """Sets the number of threads that torch and the native engine use, for the whole process; a sentence that says
    which and why. num_threads: the number; 0 measures with 1, 2, 4, ... `most` threads, on a CPU."""
    if num_threads:
        torch.set_num_threads(num_threads)
        return f"num_threads is {num_threads}"
    if segmenter.device.type != "cpu" or most == 1:
        return f"1 thread: there is {'one core' if segmenter.device.type == 'cpu' else 'a GPU'} to work on"
    counts = sorted({1, *(2**power for power in range(1, most.bit_length()) if 2**power <= most), most})
    times_ms = measured(segmenter, counts)
    chosen = fewest_that_are_fast(times_ms)
    torch.set_num_threads(chosen)
    shown = ", ".join(f"{count}: {milliseconds:.0f} ms" for count, milliseconds in times_ms.items())
    return f"num_threads {chosen} (of {_NUM_POINTS:,} points a cloud takes, by number of threads, {shown})"


def measured(segmenter: AnySegmenter, counts: list[int]) -> dict[int, float]:
    """{number of threads: milliseconds of a cloud, the median}. Numbers take turns: a busy moment hits all alike."""
    points, times_ms = spinning_scan(_NUM_POINTS), {count: list[float]() for count in counts}
    for _ in range(_NUM_ROUNDS):
        for count in counts:
            torch.set_num_threads(count)
            start = time.perf_counter()
            segmenter.segment(points)
            times_ms[count].append(1e3 * (time.perf_counter() - start))
    return {count: median(spent) for count, spent in times_ms.items()}


def fewest_that_are_fast(times_ms: dict[int, float]) -> int:
    """The smallest number of threads that is nearly as fast as the fastest."""
    limit_ms = min(times_ms.values()) * (1 + _LEAST_GAIN)
    return min(count for count, milliseconds in times_ms.items() if milliseconds <= limit_ms)
