"""The error for a mistake in what the user gave: a file, a setting, weights, a message."""

import difflib


class UserError(Exception):
    """The message says what was found, what was expected and what to do; the command line prints it as one line."""


def unknown_name(what, name, known):
    """The UserError for a name that is none of `known`, with the closest of them. `what` it should name: "sensor"."""
    close = difflib.get_close_matches(str(name).lower(), known, n=1, cutoff=0.4)
    meant = f"did you mean {close[0]!r}? " if close else ""
    return UserError(f"unknown {what} {name!r}; {meant}known {what}s are {', '.join(sorted(known))}")
