"""The error for a mistake in what the user gave: a file, a setting, weights, a message."""

import contextlib
import difflib
from collections.abc import Iterable, Iterator


class UserError(Exception):
    """The message says what was found, what was expected and what to do; the command line prints it as one line."""


class TooWideError(UserError):
    """Points reach so far that a network's voxels cannot be numbered there."""


@contextlib.contextmanager
def naming_scan(name: object) -> Iterator[None]:
    """A TooWideError within the block says which scan it is about."""
    try:
        yield
    except TooWideError as error:
        raise TooWideError(f"{name}: {error}") from error


def unknown_name(what: str, name: object, known: Iterable[str]) -> UserError:
    """A UserError, to be raised, for a `name` that is not among `known`; it suggests the closest one. `what` is the
    kind of thing that has the name, in the singular: "sensor"."""
    known = list(known)
    close = difflib.get_close_matches(str(name).lower(), known, n=1, cutoff=0.4)
    meant = f"did you mean {close[0]!r}? " if close else ""
    plural = f"{what[:-1]}ies" if what.endswith("y") else f"{what}es" if what.endswith("s") else f"{what}s"
    return UserError(f"unknown {what} {name!r}; {meant}known {plural} are {', '.join(sorted(known))}")
