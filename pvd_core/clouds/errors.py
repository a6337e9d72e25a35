"""The error of a file that does not hold a point cloud as it should."""

from pvd_core.borders.errors import UserError


class CloudFileError(UserError):
    """A cloud file that cannot be read: what was found, what was expected, what to do."""
