"""Notices that a bag is being written while it is read: half of it must not be taken for the whole."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

from pvd_ros.bags import BagError
from pvd_ros.bags.folder import kind_of

_JUST_NOW_S = 60


class Growing:
    """Remembers sizes and times of the files of a bag as they are now."""

    def __init__(self, bag: Path) -> None:
        self._bag = bag
        self._before = self._files()

    def check(self) -> None:
        """BagError if one of the files was changed since."""
        if self._files() != self._before:
            raise BagError(
                f"{self._bag} changed while it was read, so it is being written: wait until it is complete, then "
                "repeat the command with --resume"
            )

    def explained(self, reason: str) -> str:
        """`reason`, why the bag cannot be read, with the hint that somebody may be at work on it, if so it seems."""
        newest_ns = max((changed_ns for _, changed_ns in self._before.values()), default=0)
        age_s = time.time() - newest_ns / 1e9
        if self._files() == self._before and age_s > _JUST_NOW_S:
            return reason
        return f"{reason}. It was changed less than a minute ago: if it is being recorded or copied, wait for the end"

    def _files(self) -> dict[Path, tuple[int, int]]:
        """{path: (bytes, time of change in ns)}, also of the logs that databases keep beside them."""
        found = {}
        with suppress(OSError):
            beside = [self._bag, *self._bag.parent.glob(f"{self._bag.name}-wal")]
            for path in self._bag.iterdir() if self._bag.is_dir() else beside:
                if kind_of(path) or path.name.endswith("-wal"):
                    facts = path.stat()
                    found[path] = (facts.st_size, facts.st_mtime_ns)
        return found
