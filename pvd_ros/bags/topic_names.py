"""Names of topics in bags: checked by ROS 2's rules for fully qualified names, without ROS installed, and meant."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

from pvd_core.borders.errors import UserError

_WORDS = re.compile(r"(/[A-Za-z_][A-Za-z0-9_]*)+")
# DDS allows 255 characters, of which ROS 2 reserves eight for its prefixes.
_MOST_CHARACTERS = 247


def check_bag_topic(what: str, name: str) -> None:
    """UserError if `name` is no valid topic name; `what` says in the message where it comes from."""
    if len(name) > _MOST_CHARACTERS:
        raise UserError(f"{what} has {len(name)} characters; ROS 2 takes at most {_MOST_CHARACTERS} for a topic")
    if not _WORDS.fullmatch(name):
        raise UserError(
            f"{what} {name!r} is no topic name: expected /word or /word/word, each word of letters, digits and "
            "underscores and not beginning with a digit, such as /velodyne_points"
        )


def meant_topic(name: str, topics: Sequence[str]) -> str:
    """For a message on a topic that is not there: "did you mean /points? ", the one of `topics` whose name is closest;
    "" if none is close."""
    close = difflib.get_close_matches(f"/{name.lstrip('/')}", topics, n=1)
    return f"did you mean {close[0]}? " if close else ""
