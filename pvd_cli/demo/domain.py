"""A ROS domain that no other demo on this machine uses meanwhile."""

import fcntl
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path

from pvd_core.errors import UserError

# Linux hands out ports up to 60999; those of these domains lie above, and people seldom choose them by hand.
_DOMAINS = range(215, 233)


@contextmanager
def free_domain():
    """Its number, held by a lock file until the block ends."""
    with ExitStack() as held:
        yield next((domain for domain in _DOMAINS if _is_locked(domain, held)), None) or _none_free()


def _is_locked(domain, held):
    """Whether the domain is ours now, until `held` is closed."""
    path = Path(tempfile.gettempdir()) / f"pvd_ros_domain_{domain}.lock"
    try:
        lock = held.enter_context(path.open("w"))
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # held by another demo, or another user's file
        return False
    return True


def _none_free():
    raise UserError(f"no free ROS domain among {_DOMAINS[0]} to {_DOMAINS[-1]}: too many demos run at once; try later")
