"""Streets of ground and traffic alone: entering one takes milliseconds, not the seconds that trees and houses take. For
tests that are not about what a street shows."""

import contextlib
from unittest import mock

from training.data import world_pool
from training.simulate.street import world

_whole_world = world_pool._simulated


def make_streets_bare():
    """In this process, to its end."""
    world.populate = _nothing


@contextlib.contextmanager
def bare_streets():
    """Streets are bare in this process and in those of a WorldPool."""
    with mock.patch.object(world, "populate", _nothing), mock.patch.object(world_pool, "_simulated", _bare_world):
        yield


def _nothing(block, route, random):
    return [], []


def _bare_world(*arguments):
    make_streets_bare()
    return _whole_world(*arguments)
