"""Files that appear whole or not at all, folders that one process uses at a time."""

import contextlib
import hashlib
import os
import tempfile
from pathlib import Path

from pvd_core.borders.errors import UserError


@contextlib.contextmanager
def written_atomically(path):
    """Gives a temporary path beside `path`; renames it to `path` when the block ends well, removes it when not. A
    full disk or a folder that cannot be written becomes a UserError; what was at `path` before is kept."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        # Some writers make files that only the owner may read.
        temporary.chmod(0o666 & ~_umask())
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(
            f"cannot write {path}: {error.strerror or error}; free space or choose another folder"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def write_atomically(path: str | Path, content: bytes | memoryview) -> None:
    """Writes bytes to `path`, whole or not at all, and to the disk before the old file goes: a power cut must not leave
    an empty one."""
    with written_atomically(path) as temporary, open(temporary, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def check_output(path):
    """UserError where the file `path` could not be written: long work begins with this. Makes the folder for it; says
    nothing of a file that is there already."""
    path = Path(path)
    if path.is_dir():
        raise UserError(f"{path} is a folder; name a file in it")
    _check_writable(path.parent, path)


def check_output_folder(folder):
    """UserError where files could not be written into `folder`; makes it."""
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file; name a folder")
    _check_writable(folder, f"into {folder}")


def _check_writable(folder, what):
    try:
        if not folder.exists():
            folder.mkdir(parents=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(f"cannot write {what}: {error.strerror or error}; choose another folder") from error


@contextlib.contextmanager
def held_alone(folder, what):
    """Holds `folder` for this process until the block ends; UserError where another one does `what` in it. The lock
    lies outside, so the folder may be removed and made anew meanwhile."""
    folder = Path(folder).resolve()
    name = hashlib.sha256(str(folder).encode()).hexdigest()[:16]
    with locked(f"{os.getuid()}_{name}") as is_ours:
        if not is_ours:
            raise UserError(f"another process is {what} in {folder}; wait for it, or name another folder")
        yield


@contextlib.contextmanager
def locked(name):
    """Gives whether this process got the lock `name` of this machine, which it then holds until the block ends."""
    import fcntl

    with contextlib.ExitStack() as held:
        try:
            lock = held.enter_context((Path(tempfile.gettempdir()) / f"pvd_ros_{name}.lock").open("w"))
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):  # held by another process, or another user's file
            is_ours = False
        else:
            is_ours = True
        yield is_ours


def _umask():
    value = os.umask(0)
    os.umask(value)
    return value
