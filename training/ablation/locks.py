"""Locks between processes that share the folder of a grid; the system takes them back from a process that ends."""

import contextlib
import fcntl
from pathlib import Path


@contextlib.contextmanager
def locked(path, waits):
    """Holds the lock file `path` until the block ends; gives whether it is held. `waits`: until another process lets
    it go, so that it is."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if waits else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
        else:
            yield True
