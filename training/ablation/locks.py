"""Locks between processes that share the folder of a grid. The system releases those of a process that ends."""

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def locked(path: str | Path, waits: bool) -> Iterator[bool]:
    """Tries to hold the lock file `path` until the block ends; gives whether it does. `waits`: where another process
    holds it, wait until it is free (so that True is given) instead of giving False."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if waits else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
        else:
            yield True
