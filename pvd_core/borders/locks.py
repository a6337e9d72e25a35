"""Locks between processes: files that the system unlocks when the process that holds them ends, however it ends."""

import contextlib
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pvd_core.borders.errors import UserError


@contextlib.contextmanager
def locked(path: str | Path, waits: bool = False) -> Iterator[bool]:
    """Tries to hold the lock file `path` until the block ends; gives whether it does. `waits`: where another process
    holds it, wait until it is free (so that True is given) instead of giving False. The file is removed afterwards.
    UserError where it cannot be opened, as that of another user or a symbolic link."""
    path = Path(path)
    descriptor = _held(path, waits)
    try:
        yield descriptor is not None
    finally:
        if descriptor is not None:
            # While it is held: a process that waits for the removed file sees that it is gone, and makes a new one.
            with contextlib.suppress(OSError):
                path.unlink()
            os.close(descriptor)


def run_time_folder() -> Path:
    """The folder for files that live as long as a process; nobody but this user can write into it. UserError where
    somebody else has taken its name."""
    given = (os.environ.get("XDG_RUNTIME_DIR"), f"/run/user/{os.getuid()}")
    for folder in map(Path, filter(None, given)):
        if _is_ours_alone(folder):
            return folder
    folder = Path(tempfile.gettempdir(), f"pvd_ros_{os.getuid()}")
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    if not _is_ours_alone(folder):
        raise UserError(
            f"{folder} is no folder that you alone may write: remove it, or name one of yours in XDG_RUNTIME_DIR"
        )
    return folder


def _held(path: Path, waits: bool) -> int | None:
    """The descriptor of the open lock file; None if another process holds it."""
    import fcntl

    while True:
        descriptor = _opened(path)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if waits else fcntl.LOCK_NB))
            if _is_at(path, descriptor):
                return descriptor
            os.close(descriptor)
        except BlockingIOError:
            os.close(descriptor)
            return None
        except BaseException:  # Ctrl-C while it waits
            os.close(descriptor)
            raise


def _opened(path: Path) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Nothing is truncated, and no link is followed to a file that somebody else chose.
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    except OSError as error:
        if path.is_symlink():
            raise UserError(f"cannot lock {path}: it is a symbolic link, which no lock is; remove it") from error
        whose = "; it is another user's, who may be at work there" if _is_of_another(path) else ""
        raise UserError(f"cannot lock {path}: {error.strerror or error}{whose}; choose another folder") from error


def _is_at(path: Path, descriptor: int) -> bool:
    """Whether the open file is still the one at `path`: the process that held it has removed it."""
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.lstat(path), os.fstat(descriptor))
    return False


def _is_of_another(path: Path) -> bool:
    with contextlib.suppress(OSError):
        return os.lstat(path).st_uid != os.getuid()
    return False


def _is_ours_alone(folder: Path) -> bool:
    with contextlib.suppress(OSError):
        found = os.lstat(folder)
        return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o022
    return False
