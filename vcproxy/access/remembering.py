"""What is remembered of clients: bounded in entries and in bytes, for clients choose how long their texts are."""

import sys
from collections.abc import Mapping
from typing import Any, Final, Generic, TypeVar

import msgspec

ROOM: Final = 16 << 20
"""Bytes of what counts: at 2 KiB each, 8192 entries."""
SMALL_ROOM: Final = 4 << 20
"""Bytes of what does not count: strangers fill it."""

K = TypeVar("K")
V = TypeVar("V")


class Remembered(Generic[K, V]):
    """Values by key. The oldest go where there are more than `entries`, or where all take more than `room` bytes."""

    def __init__(self, entries: int, room: int) -> None:
        self._most = entries
        self._room = room
        self._taken = 0
        self._kept: dict[K, tuple[V, int]] = {}

    def get(self, key: K) -> V | None:
        found = self._kept.get(key)
        return found[0] if found is not None else None

    def keep(self, key: K, value: V) -> None:
        """Remember a value as the youngest; one that takes more than all the room is not remembered."""
        self.forget(key)
        size = weight(key) + weight(value)
        if size > self._room:
            return
        while len(self._kept) >= self._most or self._taken + size > self._room:
            self.forget(next(iter(self._kept)))
        self._kept[key] = value, size
        self._taken += size

    def forget(self, key: K) -> None:
        found = self._kept.pop(key, None)
        if found is not None:
            self._taken -= found[1]

    def clear(self) -> None:
        self._kept.clear()
        self._taken = 0

    def __len__(self) -> int:
        return len(self._kept)

    def __contains__(self, key: K) -> bool:
        return key in self._kept


def weight(value: Any) -> int:
    """About how many bytes a value takes with what it holds: texts, tuples, mappings and structs of such."""
    inner: tuple[Any, ...] = ()
    if isinstance(value, tuple):
        inner = value
    elif isinstance(value, Mapping):
        inner = (*value.keys(), *value.values())
    elif isinstance(value, msgspec.Struct):
        inner = msgspec.structs.astuple(value)
    return sys.getsizeof(value) + sum(map(weight, inner))
