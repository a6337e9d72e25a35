"""What a measuring process needs for any measurement: its interface, warm-up and memory, in MB (2**20 bytes)."""

import time
from collections.abc import Callable
from typing import Any, Protocol

import torch

from pvd_core.runtime.memory import field_mb

# The first run compiles kernels. A third one improves little, too little for runs that take seconds.
_RUNS, _LEAST_RUNS = 3, 2
_LONG_SECONDS = 4.0

# What a process with a CUDA context takes on the GPU besides its tensors.
_CUDA_CONTEXT_MB = 600


class Measurement(Protocol):
    """Measures one job; warm once it is built."""

    facts: dict[str, Any]
    """What it knows of the job besides times: points, voxels, memory."""

    def repeat(self, number: int, /) -> dict[str, float]:
        """Runs once and returns {what: milliseconds}; `number` counts the repeats from 0."""
        ...


def warm_up(run: Callable[[int], object], least_runs: int = 0) -> None:
    """Calls `run(number)` three times, two when calls take long, or `least_runs` times if that is more."""
    number, last_seconds = 0, 0.0
    while number < max(least_runs, _LEAST_RUNS) or (number < _RUNS and last_seconds < _LONG_SECONDS):
        started = time.perf_counter()
        run(number)
        last_seconds = time.perf_counter() - started
        number += 1


def has_room_for_another(device: torch.device) -> bool:
    """Whether there is memory for a process that needs twice what this one has taken."""
    free_mb = field_mb("/proc/meminfo", "MemAvailable")
    own_mb = field_mb("/proc/self/status", "VmHWM")
    has_room = free_mb is not None and own_mb is not None and free_mb > 2 * own_mb
    if device.type == "cuda":
        free_gpu_mb = torch.cuda.mem_get_info(device)[0] / 2**20
        own_gpu_mb = torch.cuda.max_memory_reserved(device) / 2**20 + _CUDA_CONTEXT_MB
        has_room = has_room and free_gpu_mb > 2 * own_gpu_mb
    return has_room
