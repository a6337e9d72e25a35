"""A ROS domain that no other demo on this machine uses meanwhile."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from pvd_core.borders.errors import UserError
from pvd_core.borders.files import locked

# Linux hands out ports up to 60999; those of these domains lie above, and people seldom choose them by hand.
_DOMAINS = range(215, 233)


@contextmanager
def free_domain() -> Iterator[int]:
    """Its number, held by a lock file until the block ends."""
    with ExitStack() as held:
        yield (
            next((domain for domain in _DOMAINS if held.enter_context(locked(f"domain_{domain}"))), None)
            or _none_free()
        )


def _none_free():
    raise UserError(f"no free ROS domain among {_DOMAINS[0]} to {_DOMAINS[-1]}: too many demos run at once; try later")
