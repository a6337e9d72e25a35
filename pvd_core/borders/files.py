"""Files that are written whole or not at all, folders that only one process uses at a time."""

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pvd_core.borders.errors import UserError
from pvd_core.borders.locks import locked, run_time_folder

_LFS_POINTER = b"version https://git-lfs.github.com/spec/"


@contextlib.contextmanager
def written_atomically(path: str | Path) -> Iterator[Path]:
    """A temporary path beside `path` to write to. It is renamed to `path` when the block ends, and removed when the
    block raises; then an earlier file at `path` stays as it was. OSError, as from a full disk, becomes UserError."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        # Some libraries create files that only the owner may read.
        temporary.chmod(0o666 & ~_umask())
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(
            f"cannot write {path}: {error.strerror or error}; free space or choose another folder"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def sha256_of(path: str | Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal digits. OSError where it cannot be read."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def why_not_a_file(path: str | Path) -> str:
    """What `path` is instead of a file that can be read to its end, and what to do, to be put after its name; "" for
    such a file. OSError where it is not there or cannot be read."""
    path = Path(path)
    if path.is_dir():
        return "is a folder, a file expected; name a file in it"
    if path.exists() and not path.is_file():  # a pipe would be waited for without end
        return "is no regular file, such as a pipe or a device; write it to a file first"
    with path.open("rb") as file:
        return why_not_content(file.read(len(_LFS_POINTER)))


def why_not_content(start: bytes) -> str:
    """As `why_not_a_file`, from the first bytes of a file."""
    if start.startswith(_LFS_POINTER):
        return "is a Git LFS pointer to a file, not the file itself; fetch that with: git lfs pull"
    return ""


def write_atomically(path: str | Path, content: bytes | memoryview) -> None:
    """Writes bytes to `path`, whole or not at all. They reach the disk before the file at `path` is replaced, so that
    a power cut cannot leave an empty file. Raises UserError as `written_atomically` does."""
    with written_atomically(path) as temporary, open(temporary, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def check_output(path: str | Path) -> None:
    """Raises UserError if the file `path` could not be written; meant to be called before long work starts. Its folder
    must exist, so that a misspelt path makes no folders; a file that already exists is no error."""
    path = Path(path)
    if path.is_dir():
        raise UserError(f"{path} is a folder; name a file in it")
    if not path.parent.is_dir():
        raise UserError(f"cannot write {path}: there is no folder {path.parent}; make it, or choose another")
    _check_writable(path.parent, path)


def check_output_folder(folder: str | Path) -> None:
    """Raises UserError if no files could be written into `folder`. It need not exist, nor those above it: they are made
    when there is something to write."""
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file; name a folder")
    _check_writable(folder, f"into {folder}")


def _check_writable(folder: Path, what: str | Path) -> None:
    try:
        standing = next(each for each in (folder, *folder.parents) if each.exists())
        with tempfile.TemporaryFile(dir=standing):
            pass
    except OSError as error:
        raise UserError(
            f"cannot write {what}: no file can be made there ({error.strerror or error}); choose another folder"
        ) from error


@contextlib.contextmanager
def held_alone(folder: str | Path, what: str) -> Iterator[None]:
    """Locks `folder` for this process until the block ends; UserError if another process of this user holds it. `what`
    says in that error what the other one does: "training". The lock file lies outside `folder`, which may be deleted
    meanwhile."""
    folder = Path(folder).resolve()
    name = hashlib.sha256(str(folder).encode()).hexdigest()[:16]
    with locked(run_time_folder() / f"pvd_ros_{name}.lock") as is_ours:
        if not is_ours:
            raise UserError(f"another process is {what} in {folder}; wait for it, or name another folder")
        yield


@contextlib.contextmanager
def whole_folder(target: Path, what: str, beside: Path | None = None) -> Iterator[Path]:
    """A folder that becomes `target`, which must not exist yet, when the block ends, and is removed when it raises.
    Until then it stands beside `target`, or beside `beside`. `what`: as `held_alone` takes it."""
    unfinished = (beside or target).with_name(f".{target.name}.unfinished")
    with held_alone(target, what):
        shutil.rmtree(unfinished, ignore_errors=True)  # what a killed process left
        try:
            unfinished.mkdir(parents=True)
            yield unfinished
            target.parent.mkdir(parents=True, exist_ok=True)
            unfinished.rename(target)
        except OSError as error:
            raise UserError(f"cannot write {target}: {error.strerror or error}; free space and try again") from error
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)


def _umask() -> int:
    value = os.umask(0)
    os.umask(value)
    return value
