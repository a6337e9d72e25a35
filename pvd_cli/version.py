"""The version of the program."""

import re
from importlib import metadata
from pathlib import Path


def program_version() -> str:
    """The version of the installed package; from a source tree that is not installed, the one in package.xml."""
    try:
        return metadata.version("pvd_ros")
    except metadata.PackageNotFoundError:
        text = (Path(__file__).resolve().parents[1] / "package.xml").read_text(encoding="utf-8")
        found = re.search(r"<version>(.*?)</version>", text)
        return found[1] if found else "unknown"
