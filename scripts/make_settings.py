"""Settings of `make demo`, refused by the names that they have there and before anything is installed."""

import math
from collections.abc import Iterable
from pathlib import Path

# The limits of the options of `pvd demo`.
RANGES = {"SECONDS": (0.5, 600), "RATE": (0.01, math.inf), "SCANS": (1, 21)}
WHOLE_NUMBERS = ("SCANS",)


def fault_of(settings: Iterable[str]) -> str:
    """What is wrong with the first bad setting of NAME=VALUE; "" if none is. Empty values are settings left out."""
    for setting in settings:
        name, _, value = setting.partition("=")
        if not value:
            continue
        if name in RANGES and not _is_within(name, value):
            least, most = RANGES[name]
            kind = "a whole number" if name in WHOLE_NUMBERS else "a number"
            limits = f"at least {least}" if most == math.inf else f"from {least} to {most}"
            return f"{name}={value}: expected {kind}, {limits}"
        if name == "BAG" and not Path(value).exists():
            return f"{name}={value}: no such file or folder"
    return ""


def _is_within(name: str, value: str) -> bool:
    least, most = RANGES[name]
    try:
        number = int(value) if name in WHOLE_NUMBERS else float(value)
    except ValueError:
        return False
    return math.isfinite(number) and least <= number <= most
