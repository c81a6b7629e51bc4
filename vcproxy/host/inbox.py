"""A queue with two bounds: how many items wait, and how many bytes they were."""

import asyncio
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Inbox(Generic[T]):
    """First in, first out. Whoever puts waits for room; one item alone always has room, however large it is.

    Several may put, one takes.
    """

    def __init__(self, count: int, size: int) -> None:
        self._count = count
        self._size = size
        self._items: deque[tuple[T, int]] = deque()
        self._bytes = 0
        self._filled = asyncio.Event()
        self._freed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._items)

    def _is_full(self, size: int) -> bool:
        return bool(self._items) and (len(self._items) >= self._count or self._bytes + size > self._size)

    async def put(self, item: T, size: int = 0) -> None:
        """Returns when the item is in. `size` is in bytes."""
        while self._is_full(size):
            self._freed.clear()
            await self._freed.wait()
        self._items.append((item, size))
        self._bytes += size
        self._filled.set()

    async def get(self) -> T:
        """The oldest item, once there is one."""
        while not self._items:
            self._filled.clear()
            await self._filled.wait()
        return self.take()

    def take(self) -> T:
        """The oldest item. Raises IndexError where there is none."""
        item, size = self._items.popleft()
        self._bytes -= size
        self._freed.set()
        return item
