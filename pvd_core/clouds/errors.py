"""The error for a file that holds no readable point cloud."""

from pvd_core.borders.errors import UserError


class CloudFileError(UserError):
    """The message says what was found, what was expected and what to do."""
