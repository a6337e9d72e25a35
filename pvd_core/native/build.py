"""Compiles the native engine. Standard library only: setup.py loads this file before anything is installed.

By hand, beside a source that changed: python -m pvd_core.native.build
"""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
SOURCE = HERE / "engine.cpp"
LIBRARY = HERE / "engine.so"
# What the last attempt to build here said, where it failed.
LOG = HERE / "build.log"

_FLAGS = (
    "-std=c++17",
    "-O3",
    "-ffp-contract=fast",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-fPIC",
    "-shared",
    "-pthread",
)
_TIMEOUT_S = 600


class BuildError(Exception):
    """The library could not be built; the message says why."""


def source_digest() -> str:
    """Changes whenever the library has to be built again."""
    digest = hashlib.sha256(repr(_FLAGS).encode())
    for path in sorted((*HERE.glob("*.cpp"), *HERE.glob("*.h"))):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def compiler() -> list[str]:
    """The command of the C++ compiler: $CXX, or the first of the usual ones. BuildError where there is none."""
    if os.environ.get("CXX"):
        return os.environ["CXX"].split()
    for name in ("c++", "g++", "clang++"):
        if shutil.which(name):
            return [name]
    raise BuildError("no C++ compiler: install one (apt install g++), or set CXX")


def build(target: Path = LIBRARY, flags: Sequence[str] = ()) -> None:
    """Compiles the library to `target`, with further `flags`. BuildError, with the compiler's last lines, where that
    fails."""
    line = [*compiler(), *_FLAGS, *flags, f'-DPVD_SOURCE="{source_digest()}"', str(SOURCE)]
    target.parent.mkdir(parents=True, exist_ok=True)
    # A process that runs may have the old library loaded: it keeps it, for the new one is another file.
    temporary = target.with_name(f"{target.name}.{os.getpid()}")
    try:
        result = subprocess.run(
            [*line, "-o", str(temporary)], capture_output=True, text=True, errors="replace", timeout=_TIMEOUT_S
        )
        if result.returncode != 0:
            last = "\n".join(result.stderr.strip().splitlines()[-5:])
            raise BuildError(f"{line[0]} ended with code {result.returncode}: {last or 'and said nothing'}")
        temporary.replace(target)
    except OSError as error:
        raise BuildError(f"{line[0]} did not start: {error}") from error
    except subprocess.TimeoutExpired as error:
        raise BuildError(f"{line[0]} took more than {_TIMEOUT_S} s") from error
    finally:
        temporary.unlink(missing_ok=True)


def try_to_build(target: Path = LIBRARY) -> None:
    """As `build`, but a failure is only noted, beside the library, and an older library goes: the package works without
    it, more slowly."""
    log = target.with_name(LOG.name)
    try:
        build(target)
        log.unlink(missing_ok=True)
    except BuildError as error:
        target.unlink(missing_ok=True)
        log.write_text(f"{error}\n")
        print(f"native engine not built, torch serves instead: {error}", file=sys.stderr)


if __name__ == "__main__":
    try:
        build()
    except BuildError as error:
        sys.exit(f"error: {error}")
