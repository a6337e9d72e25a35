"""A mailbox with one slot between the subscription and the worker: the newest cloud wins."""

from __future__ import annotations

from threading import Condition
from typing import Generic, TypeVar

Item = TypeVar("Item")


class LatestMailbox(Generic[Item]):
    """`put` never waits and never grows memory; `take` waits for an item until the mailbox is closed."""

    def __init__(self):
        self._condition = Condition()
        self._item: Item | None = None
        self._is_closed = False

    def put(self, item: Item) -> bool:
        """True if an older item was thrown away for this one."""
        with self._condition:
            replaced = self._item is not None
            self._item = item
            self._condition.notify()
            return replaced

    def take(self) -> Item | None:
        """The newest item, or None once the mailbox is closed (what was left in it is returned first)."""
        with self._condition:
            self._condition.wait_for(lambda: self._item is not None or self._is_closed)
            item, self._item = self._item, None
            return item

    def close(self) -> None:
        with self._condition:
            self._is_closed = True
            self._condition.notify_all()
