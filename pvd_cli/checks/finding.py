"""One line of the doctor's report."""

from dataclasses import dataclass
from importlib import metadata


@dataclass(frozen=True)
class Finding:
    name: str
    is_present: bool
    found: str
    remedy: str = ""
    """What to do to have it; empty where nothing is missing."""
    is_needed: bool = False
    """True where scans cannot be labelled without it."""


def installed_version(package: str) -> str | None:
    """Version of an installed package, or None."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
