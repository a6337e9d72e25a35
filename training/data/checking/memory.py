"""What was found in the files of a data set, kept in the user's cache folder for as long as they do not change.

An entry counts only for files of the same size and time of change. A cache that is damaged or cannot be written is no
error: the files are read again.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from pvd_core.borders.errors import UserError
from pvd_core.borders.files import written_atomically
from pvd_core.taxonomy import Taxonomy
from training.data.checking.examination import UNREADABLE, Examined
from training.data.checking.widths import Widths

# To be raised when the same files would be judged in another way.
_FORMAT = 2
# A file may change again within one tick of the file system's clock and keep its time.
_SETTLED_NS = 2 * 10**9

Stamp = tuple[int, int, int, int]
"""Size and time of change in ns of a scan and of its label file; -1 for what is not there or not looked at."""


def cache_folder() -> Path:
    """Where results of checks are kept: PVD_CACHE_DIR, or pvd in the user's cache folder."""
    own = os.environ.get("PVD_CACHE_DIR")
    return Path(own) if own else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pvd"


class Memory:
    """The remembered examinations of the scans of one data set, read with the same widths as the same classes."""

    def __init__(self, root: Path, widths: Widths, taxonomy: Taxonomy) -> None:
        columns = widths.columns
        read_as = [columns.option, columns.is_certain, widths.label_type, taxonomy.name]
        about = json.dumps([_FORMAT, str(root.resolve()), *read_as])
        self._path = cache_folder() / "datasets" / f"{hashlib.sha256(about.encode()).hexdigest()[:24]}.json"
        self._entries = _entries(self._path)

    def recall(self, name: str, stamp: Stamp) -> Examined | None:
        """What was found in a scan with this stamp, None for an unknown or changed one."""
        try:
            before, values = self._entries[name]
            if tuple(before) != stamp:
                return None
            num_points, num_usable, num_not_finite, num_labelled, digest, problems = values
            numbers = num_points, num_usable, num_not_finite, num_labelled
            if not all(type(number) is int and number >= 0 for number in numbers) or not isinstance(digest, str):
                return None
            told = tuple((str(kind), bool(is_labels), str(what)) for kind, is_labels, what in problems)
            return Examined(*numbers, digest, told)
        except (KeyError, TypeError, ValueError):
            return None

    def keep(self, found: Mapping[str, tuple[Stamp, Examined]]) -> None:
        """Adds what was found, but for files that changed a moment ago or could not be read."""
        settled = time.time_ns() - _SETTLED_NS
        new = {
            name: [stamp, dataclasses.astuple(examined)]
            for name, (stamp, examined) in found.items()
            if max(stamp[1], stamp[3]) < settled and not any(kind == UNREADABLE for kind, *_ in examined.problems)
        }
        if not new:
            return
        self._entries = {**self._entries, **new}
        with contextlib.suppress(UserError), written_atomically(self._path) as temporary:
            temporary.write_text(json.dumps(self._entries, separators=(",", ":")))


def stamp_of(points_path: Path, labels_path: Path | None) -> Stamp:
    """The Stamp of the files of a scan; None for labels that are not looked at."""
    return (*_size_and_time(points_path), *(_size_and_time(labels_path) if labels_path is not None else (-1, -1)))


def sizes_of(stamps: list[Stamp]) -> np.ndarray:
    """int64 (scans, 2): bytes of each scan and of its labels, -1 where there are none."""
    return np.array([(stamp[0], stamp[2]) for stamp in stamps], np.int64).reshape(-1, 2)


def _size_and_time(path: Path) -> tuple[int, int]:
    try:
        status = os.stat(path)
    except OSError:
        return -1, -1
    return status.st_size, status.st_mtime_ns


def _entries(path: Path) -> dict[str, list]:
    try:
        entries = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return entries if isinstance(entries, dict) else {}
