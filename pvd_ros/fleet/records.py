"""The record of each bag: a JSON file in a hidden folder of the results, from which a later run goes on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pvd_core.borders.files import write_atomically

FOLDER = ".label_bags"


def record_path(out: Path, name: str) -> Path:
    """Where the record of the bag `name` is in the folder `out` of the results."""
    return out / FOLDER / f"{name}.json"


def write_record(path: Path, values: Mapping[str, Any]) -> None:
    """Writes a record, whole or not at all. UserError where it cannot be written."""
    write_atomically(path, json.dumps(values, indent=1).encode())


def read_record(path: Path) -> dict[str, Any] | None:
    """A record; None if there is none that can be read."""
    try:
        values = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return values if isinstance(values, dict) else None
