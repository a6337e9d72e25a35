"""Gives memory back to the system after a cloud that was far larger than the others."""

from __future__ import annotations

from collections import deque
from statistics import median

from pvd_core.runtime.memory import return_freed_memory

# Below this there is little to give back.
LEAST_BYTES = 8_000_000
TIMES_LARGER = 4


class SpareMemory:
    """The process keeps the memory of a labelled cloud for the next one; after an unusually large one it would keep
    gigabytes for good."""

    def __init__(self) -> None:
        self._sizes: deque[int] = deque([0], maxlen=21)

    def after_cloud(self, num_bytes: int) -> bool:
        """Call it once nothing of a message of `num_bytes` is needed any more; whether memory was given back."""
        is_unusual = num_bytes >= LEAST_BYTES and num_bytes > TIMES_LARGER * median(self._sizes)
        self._sizes.append(num_bytes)
        if is_unusual:
            return_freed_memory()
        return is_unusual
