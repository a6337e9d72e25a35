"""Finds and loads the native engine, and says why where it cannot."""

import ctypes
import functools
from pathlib import Path

from pvd_core.borders.errors import UserError
from pvd_core.native.build import LIBRARY, LOG, source_digest

_REMEDY = "python -m pvd_core.native.build builds it"


class _Unusable(Exception):
    """The message is the reason."""


@functools.cache
def load() -> ctypes.CDLL:
    """The library. UserError with the reason where it is absent, damaged or built from another source."""
    library, reason = _load(LIBRARY)
    if library is None:
        raise UserError(f"the native engine is not usable: {reason}")
    return library


@functools.cache
def status() -> tuple[bool, str]:
    """(whether the library is usable, its level of instructions or the reason why it is not)."""
    library, text = _load(LIBRARY)
    return library is not None, text


def use_level(name: str) -> None:
    """Computes with another level of instructions from now on; "" is the best that works here. UserError for one that
    this processor does not have."""
    if load().pvd_use_level(name.encode()) is None:
        raise UserError(f"level {name!r}: this processor does not have it")


@functools.cache
def _load(path: Path) -> tuple[ctypes.CDLL | None, str]:
    try:
        return _loaded(path)
    except _Unusable as error:
        return None, str(error)


def _loaded(path: Path) -> tuple[ctypes.CDLL, str]:
    if not path.is_file():
        log = path.with_name(LOG.name)
        raise _Unusable(log.read_text().strip() if log.is_file() else f"it was not built here; {_REMEDY}")
    # Loading runs code, so the digest is read from the file's bytes first.
    if source_digest().encode() not in path.read_bytes():
        raise _Unusable(f"{path.name} was built from another version of its source; {_REMEDY} again")
    try:
        library = ctypes.CDLL(str(path))
    except OSError as error:
        raise _Unusable(f"it does not load on this machine ({error}); {_REMEDY} again") from error
    sizes = [ctypes.c_int32] * 4
    library.pvd_use_level.argtypes, library.pvd_use_level.restype = [ctypes.c_char_p], ctypes.c_char_p
    library.pvd_packed_bytes.argtypes, library.pvd_packed_bytes.restype = sizes, ctypes.c_int64
    # type, weight, strides, taps, input channels, output channels, whether taps are reversed, packed
    pointer = ctypes.c_void_p
    library.pvd_pack.argtypes = [sizes[0], pointer, pointer, *sizes, pointer]
    level = library.pvd_use_level(None)
    if level is None:
        raise _Unusable("its results differ from plain loops on this processor; please report this")
    return library, level.decode()
