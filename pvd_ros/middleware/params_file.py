"""Parameter files of ROS 2: that a file exists and has a section for the node, which rclpy would not say."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pvd_core.borders.errors import UserError

DEFAULT_NAME = "segmenter"
_SECTION = "ros__parameters"
_RENAMING = re.compile(r"(?:^|:)__(?:node|name):=(\S+)$")


def check_params_files(arguments: Sequence[str]) -> None:
    """check_params_file for each `--params-file FILE` among the node's command-line arguments, which may rename it."""
    names = [found[1] for word in arguments if (found := _RENAMING.search(word))]
    for word, following in itertools.pairwise(arguments):
        if word == "--params-file":
            check_params_file(following, names[-1] if names else DEFAULT_NAME)


def check_params_file(path: str, node_name: str = DEFAULT_NAME) -> None:
    """UserError if there is no file at `path`, if it is no YAML, or if none of its sections is for the node."""
    import yaml

    try:
        tree = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = error.strerror if isinstance(error, OSError) else " ".join(str(error).split())
        raise UserError(f"parameter file {path}: {reason}") from error
    sections = list(_sections(tree, ""))
    if not any(name.rsplit("/", 1)[-1] in (node_name, "*", "**") for name in sections):
        found = ", ".join(sections) or f"none with {_SECTION}"
        raise UserError(
            f"parameter file {path} has no section for {node_name}: found {found}; expected /** or its name"
        )


def _sections(tree: Any, above: str) -> Iterator[str]:
    """Names of nodes that have parameters in `tree`, with the namespaces that lie around them."""
    if isinstance(tree, dict):
        for name, inside in tree.items():
            path = f"{above}/{name}".replace("//", "/")
            if isinstance(inside, dict) and _SECTION in inside:
                yield path
            elif above.count("/") < 8:
                yield from _sections(inside, path)
