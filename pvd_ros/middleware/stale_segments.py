"""Shared memory that Fast DDS processes left behind in /dev/shm, because they crashed or were killed."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

SHARED_MEMORY = Path("/dev/shm")
# A process that starts makes the file of its lock a moment before it locks it.
YOUNGEST_S = 5.0


def remove_stale_segments(folder: Path = SHARED_MEMORY) -> int:
    """Removes the segments whose owners have ended, as `fastdds shm clean` does; returns how many.

    Fast DDS never does so itself: of each process that is killed the 64 MB of fastdds.xml stay until the machine
    starts anew. The owner of a segment `fastrtps_X` holds a lock on `fastrtps_X_el` as long as it lives.
    """
    return sum(_remove_if_stale(lock) for lock in folder.glob(f"fastrtps_{'[0-9a-f]' * 16}_el"))


def _remove_if_stale(lock: Path) -> bool:
    try:
        if time.time() - lock.stat().st_mtime < YOUNGEST_S:
            return False
        handle = os.open(lock, os.O_RDONLY)
    except OSError:  # another user's, or another process removes it at this moment
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        lock.with_name(lock.name.removesuffix("_el")).unlink(missing_ok=True)
        lock.unlink(missing_ok=True)
    except OSError:
        return False
    finally:
        os.close(handle)
    return True
