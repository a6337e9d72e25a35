"""How much memory this process takes, and whether what tensors free stays with it or goes back to the system.

By default glibc returns every large tensor's memory to the system when it is freed, and the next tensor of that size
costs thousands of page faults: 40 % of the time of a network on a CPU (0.5x on a 64-beam scan: 3.5 s instead of 2.0 s).
"""

from __future__ import annotations

import ctypes
import functools
import re
import resource
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # processes that simulate are started often, and need no torch
    import torch

# Option numbers of glibc's mallopt(3).
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4
_TOP_PAD_BYTES = 64 << 20


@functools.cache
def keep_freed_memory() -> None:
    """Tells this process's allocator to reuse freed memory instead of returning it; does nothing without glibc. Peak
    memory does not change, but between scans the process keeps as much as it had at the peak."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(_M_TOP_PAD, _TOP_PAD_BYTES)


def return_freed_memory() -> None:
    """Returns freed memory to the system, including gaps between blocks that are in use; does nothing without glibc.
    For processes that now and then build something large out of many small parts: the gaps that remain when it is
    freed do not fit the next one."""
    malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if malloc_trim is not None:
        malloc_trim(0)


def peak_mb(device: torch.device) -> float:
    """Peak memory so far, in MB of 2**20 bytes: of the tensors on a GPU, of this whole process on a CPU."""
    if device.type == "cuda":
        import torch

        return torch.cuda.max_memory_allocated(device) / 2**20
    # ru_maxrss only where /proc is missing: on Linux it starts at the peak of the process that started this one.
    peak = field_mb("/proc/self/status", "VmHWM")
    return peak if peak is not None else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def field_mb(file: str, field: str) -> float | None:
    """A field, in kB, of one of Linux's tables; None where the system has no such table."""
    path = Path(file)
    found = re.search(rf"^{field}:\s+(\d+) kB", path.read_text(), re.MULTILINE) if path.is_file() else None
    return int(found.group(1)) / 1024 if found else None
