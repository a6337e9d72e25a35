"""The error for weights."""

from pvd_core.borders.errors import UserError


class WeightsError(UserError):
    """Weights that cannot be read or do not fit the network."""
