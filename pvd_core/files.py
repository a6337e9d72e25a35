"""Files that appear whole or not at all."""

import contextlib
import os
from pathlib import Path

from pvd_core.errors import UserError


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


def _umask():
    value = os.umask(0)
    os.umask(value)
    return value
