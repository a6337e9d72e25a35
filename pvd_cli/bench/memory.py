"""Memory of this process and of the machine, in MB (2**20 bytes)."""

import re
import resource
from pathlib import Path

import torch

# What a process with a CUDA context takes on the GPU beside its tensors.
_CUDA_CONTEXT_MB = 600


def peak_mb(device):
    """Most memory so far: of the tensors on a GPU, of this whole process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    # Not ru_maxrss where it can be helped: Linux hands a new program the peak of the process that started it.
    peak = _field_mb("/proc/self/status", "VmHWM")
    return peak if peak is not None else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def has_room_for_another(device):
    """Whether a process that needs twice what this one has taken would find the memory for it."""
    free_mb = _field_mb("/proc/meminfo", "MemAvailable")
    own_mb = _field_mb("/proc/self/status", "VmHWM")
    has_room = free_mb is not None and own_mb is not None and free_mb > 2 * own_mb
    if device.type == "cuda":
        free_gpu_mb = torch.cuda.mem_get_info(device)[0] / 2**20
        own_gpu_mb = torch.cuda.max_memory_reserved(device) / 2**20 + _CUDA_CONTEXT_MB
        has_room = has_room and free_gpu_mb > 2 * own_gpu_mb
    return has_room


def _field_mb(file, field):
    """A field of one of Linux's tables in kB; None where the system has no such table."""
    path = Path(file)
    found = re.search(rf"^{field}:\s+(\d+) kB", path.read_text(), re.MULTILINE) if path.is_file() else None
    return int(found.group(1)) / 1024 if found else None
