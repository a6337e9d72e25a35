"""A ROS domain that no other demo on this machine uses meanwhile, whoever runs it, and the variables for it."""

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from pvd_core.borders.errors import UserError

# Linux hands out ports up to 60999; those of these domains lie above, and people seldom choose them by hand.
_DOMAINS = range(215, 233)


@contextmanager
def ros_environment() -> Iterator[dict[str, str]]:
    """Variables for this process and its children: a domain of their own, this machine only, large clouds."""
    from pvd_ros.middleware.transport import fastdds_environment

    with free_domain() as domain:
        variables = {
            **fastdds_environment(),
            "ROS_DOMAIN_ID": str(domain),
            "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        }
        before = {name: os.environ.get(name) for name in variables}
        os.environ.update(variables)
        try:
            yield variables
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value


@contextmanager
def free_domain() -> Iterator[int]:
    """Its number, which is taken until the block ends. UserError if none is free."""
    with ExitStack() as held:
        domain = next((domain for domain in _DOMAINS if _take(domain, held)), None)
        if domain is None:
            raise UserError(
                f"no free ROS domain among {_DOMAINS[0]} to {_DOMAINS[-1]}: too many demos run at once; try later"
            )
        yield domain


def _take(domain: int, held: ExitStack) -> bool:
    """Takes a domain; whether nobody else had it."""
    # An abstract name is no file: all users share the names, nobody can plant one in a folder, and nothing stays.
    name = held.enter_context(socket.socket(socket.AF_UNIX))
    try:
        name.bind(f"\0pvd_ros_domain_{domain}")
    except OSError:
        return False
    return True
