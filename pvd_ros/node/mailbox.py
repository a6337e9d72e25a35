"""A mailbox between the subscription and the worker: a newer cloud replaces one that still waits."""

from __future__ import annotations

from collections import deque
from threading import Condition
from typing import Generic, TypeVar

Item = TypeVar("Item")


class LatestMailbox(Generic[Item]):
    """Holds the newest item, and with it the `num_replaced` last ones that it replaced, for whoever needs to know them.
    `put` never waits; `take` waits for an item or until the mailbox is closed."""

    def __init__(self, num_replaced: int = 0) -> None:
        self._condition = Condition()
        self._items: deque[Item] = deque(maxlen=1 + num_replaced)
        self._is_closed = False

    def put(self, item: Item) -> bool:
        """Stores `item`; returns whether it replaced an older one."""
        with self._condition:
            replaced = bool(self._items)
            self._items.append(item)
            self._condition.notify()
            return replaced

    def take(self) -> list[Item]:
        """Takes the items out of the mailbox: the replaced ones in their order, the newest last. Empty once the mailbox
        is closed and empty."""
        with self._condition:
            self._condition.wait_for(lambda: self._items or self._is_closed)
            items = list(self._items)
            self._items.clear()
            return items

    def close(self) -> None:
        """Ends the waiting of `take`."""
        with self._condition:
            self._is_closed = True
            self._condition.notify_all()
