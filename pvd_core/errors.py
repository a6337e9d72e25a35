"""The error for a mistake in what the user gave: a file, a setting, weights, a message."""


class UserError(Exception):
    """The message says what was found, what was expected and what to do; the command line prints it as one line."""
