"""A mailbox with one slot between the subscription and the worker: a newer cloud replaces one that still waits."""

from __future__ import annotations

from threading import Condition
from typing import Generic, TypeVar

Item = TypeVar("Item")


class LatestMailbox(Generic[Item]):
    """Holds at most one item. `put` never waits; `take` waits for an item or until the mailbox is closed."""

    def __init__(self) -> None:
        self._condition = Condition()
        self._item: Item | None = None
        self._is_closed = False

    def put(self, item: Item) -> bool:
        """Stores `item`; returns whether it replaced an older one, which is lost."""
        with self._condition:
            replaced = self._item is not None
            self._item = item
            self._condition.notify()
            return replaced

    def take(self) -> Item | None:
        """Takes the item out of the mailbox. None once the mailbox is closed and empty."""
        with self._condition:
            self._condition.wait_for(lambda: self._item is not None or self._is_closed)
            item, self._item = self._item, None
            return item

    def close(self) -> None:
        """Ends the waiting of `take`."""
        with self._condition:
            self._is_closed = True
            self._condition.notify_all()
