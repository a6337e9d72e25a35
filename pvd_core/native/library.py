"""Finds and loads the native engine, and says why where it cannot."""

import ctypes
import functools
import shlex
import sys
from pathlib import Path
from typing import Any

from pvd_core.borders.errors import UserError
from pvd_core.native.build import LIBRARY, LOG, source_digest

BUILD_COMMAND = f"{shlex.quote(sys.executable)} -m pvd_core.native.build"
"""Builds the library for this interpreter's packages, whichever one the shell calls python."""
_REMEDY = f"`{BUILD_COMMAND}` builds it"

_int, _long, _float, _pointer = ctypes.c_int32, ctypes.c_int64, ctypes.c_float, ctypes.c_void_p
# Result and arguments of each function of engine.cpp. Without them ctypes would cut pointers to 32 bits.
_SIGNATURES: dict[str, tuple[Any, ...]] = {
    "pvd_use_level": (ctypes.c_char_p, ctypes.c_char_p),
    "pvd_level": (ctypes.c_char_p,),
    "pvd_packed_bytes": (_long, _int, _int, _int, _int),
    "pvd_pack": (None, _int, _pointer, _pointer, _int, _int, _int, _int, _pointer, _int),
    "pvd_convolve": (None, _pointer),
    "pvd_weight_gradient": (None, _pointer),
    "pvd_chain": (None, _pointer),
    "pvd_labels": (None, _pointer, _long, _int, _float, _pointer, _pointer, _int),
    "pvd_columns": (None, _pointer, _pointer, _long),
    "pvd_look_up": (None, _pointer, _pointer, _long, _pointer, _int, _pointer, _int),
    "pvd_find": (None, _pointer, _pointer, _long, _pointer, _int),
    "pvd_list_columns": (None, _pointer, _pointer, _long),
    "pvd_look_up_sorted": (None, _pointer, _pointer, _long, _pointer, _int, _pointer, _int),
    "pvd_find_sorted": (None, _pointer, _pointer, _long, _pointer, _int),
    "pvd_find_blocks": (_long, _pointer, _long, _pointer, _pointer, _pointer, _pointer),
    "pvd_occupied": (_long, _pointer, _pointer, _long, _pointer, _int, _int, *[_pointer] * 4),
    "pvd_block_rows": (None, _pointer, _pointer, _long, _long, _long, _int, _pointer),
    "pvd_coarsen": (_long, _pointer, _pointer, _pointer, _int),
    "pvd_list": (None, _pointer, _pointer),
    "pvd_occupy": (_long, _pointer, _pointer, _int),
    "pvd_assign": (None, _pointer, _pointer, _pointer),
    "pvd_maximum_gradient": (None, _pointer, _pointer, _long, _long, _long, *[_pointer] * 5, _int),
    "pvd_maximum": (None, _pointer, _pointer, _long, _long, _long, _pointer, _pointer, _pointer, _int),
    "pvd_moments": (None, _pointer, _pointer, _long, _long, _long, *[_pointer] * 3, *[_float] * 3, _int),
}


class _UnusableError(Exception):
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
    this processor does not have. Weights that were packed by hand are of the level that packed them."""
    if load().pvd_use_level(name.encode()) is None:
        raise UserError(f"level {name!r}: this processor does not have it")


def level() -> str:
    """The level of instructions in use."""
    return load().pvd_level().decode()


@functools.cache
def _load(path: Path) -> tuple[ctypes.CDLL | None, str]:
    try:
        return _loaded(path)
    except _UnusableError as error:
        return None, str(error)


def _loaded(path: Path) -> tuple[ctypes.CDLL, str]:
    if not path.is_file():
        log = path.with_name(LOG.name)
        raise _UnusableError(log.read_text().strip() if log.is_file() else f"it was not built here; {_REMEDY}")
    # Loading runs code, so the digest is read from the file's bytes first.
    if source_digest().encode() not in path.read_bytes():
        raise _UnusableError(f"{path.name} was built from another version of its source; {_REMEDY} again")
    try:
        library = ctypes.CDLL(str(path))
    except OSError as error:
        raise _UnusableError(f"it does not load on this machine ({error}); {_REMEDY} again") from error
    for name, (result, *arguments) in _SIGNATURES.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    level = library.pvd_use_level(None)
    if level is None:
        raise _UnusableError("its results differ from plain loops on this processor; please report this")
    return library, level.decode()
