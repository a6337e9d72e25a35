"""How a command ends: one clear line and exit code 2 for the user's mistakes, 130 for Ctrl-C, a traceback for bugs."""

import contextlib
import sys

import typer

from pvd_core.borders.errors import UserError

EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130
_OWN_PACKAGES = ("pvd_core", "training", "pvd_ros", "pvd_cli")


def print_error(message):
    """One line on stderr, whatever line breaks the message has."""
    print(f"error: {' '.join(str(message).split())}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def interruptible(note):
    """Ctrl-C within the block ends the command with exit code 130 and what `note()` says was kept."""
    try:
        yield
    except KeyboardInterrupt:
        print(f"interrupted: {note()}", file=sys.stderr, flush=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None


@contextlib.contextmanager
def optional_packages(extra, purpose):
    """Around late imports: a package that is not there becomes an error that names the extra to install."""
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
