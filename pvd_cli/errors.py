"""How a command ends: one clear line and exit code 2 for the user's mistakes, 3 if it did only part of its work, 4 if
its labels are worthless, 130 for Ctrl-C, 143 for SIGTERM, 141 without a word where nobody reads its output any more, a
traceback for bugs."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import TextIO

import typer

from pvd_cli.stops import EXIT_INTERRUPTED, EXIT_TERMINATED, stop_behind, stop_code
from pvd_core.borders.errors import UserError

EXIT_USER_ERROR = 2
EXIT_INCOMPLETE = 3
EXIT_SPOILT = 4
# As shells count: 128 and the number of the signal.
EXIT_BROKEN_PIPE = 141
_OWN_PACKAGES = ("pvd_core", "training", "pvd_ros", "pvd_cli")


def print_error(message: object) -> None:
    """Prints "error: " and the message on stderr, in one line even if the message has several."""
    print(f"error: {' '.join(str(message).split())}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def interruptible(note: Callable[[], str]) -> Iterator[None]:
    """On Ctrl-C or SIGTERM within the block the command prints `note()`, which says what is kept, and ends with exit
    code 130 or 143."""
    try:
        yield
    except BaseException as error:
        stop = stop_behind(error)
        if stop is None or is_closed_pipe(stop):
            raise
        print(f"interrupted: {note()}", file=sys.stderr, flush=True)
        raise typer.Exit(stop_code(stop)) from None


def is_closed_pipe(error: BaseException) -> bool:
    """Whether `error` is there because whoever read the output has gone, as in `pvd ... | head`: a BrokenPipeError, or
    the SystemExit that click and rich make of it."""
    return isinstance(error, BrokenPipeError) or (
        isinstance(error, SystemExit) and isinstance(error.__context__, BrokenPipeError)
    )


def drop_unread_output() -> None:
    """Sends what is still to be written to closed pipes nowhere, so that Python can end without a complaint."""
    for stream in (sys.stdout, sys.stderr):
        _drop_if_closed(stream)


def _drop_if_closed(stream: TextIO) -> None:
    try:
        stream.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def interrupted_by(signal_name: str | None) -> typer.Exit:
    """To be raised after a run that stopped in order on the signal "SIGINT" or "SIGTERM"."""
    return typer.Exit(EXIT_TERMINATED if signal_name == "SIGTERM" else EXIT_INTERRUPTED)


@contextlib.contextmanager
def optional_packages(extra: str, purpose: str) -> Iterator[None]:
    """For a block of late imports. A package that is missing or does not load gives a UserError, which names the extra
    to install and says that `purpose` needs the package."""
    try:
        yield
    except ImportError as error:
        package = (error.name or "").split(".")[0]
        if package in _OWN_PACKAGES:
            raise
        if isinstance(error, ModuleNotFoundError):
            raise UserError(
                f"{purpose} needs the package {package}, which is not installed: pip install 'pvd_ros[{extra}]'"
            ) from None
        raise UserError(
            f"{purpose} needs {package or 'a package'} that does not load here ({error}): see `pvd doctor`"
        ) from None
    except OSError as error:  # a wheel whose shared library is missing on this system
        raise UserError(f"{purpose}: a library does not load here ({error}): see `pvd doctor`") from None
