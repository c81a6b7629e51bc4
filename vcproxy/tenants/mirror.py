"""A collection of the host as a dictionary of typed values, kept by a Reflector."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Generic, TypeVar

from vcproxy.core.hosting import Upstream
from vcproxy.tenants.hostapi import Object
from vcproxy.tenants.reflector import DELETED, Change, Reflector, Sync, Timing

V = TypeVar("V")

Key = tuple[str, str]
"""(namespace, name); the namespace of cluster-scoped objects is empty."""


def key_of(document: Object) -> Key:
    metadata = document.get("metadata") or {}
    return str(metadata.get("namespace") or ""), str(metadata.get("name") or "")


class Mirror(Generic[V]):
    """`items` is the collection as it is now.

    `parse` makes a value of an object, which it may change, or None of one that does not count.
    `changed(key, before, after)` is called after each change of a value, None standing for absence; at a relist once
    per object that differs, gone ones first.
    """

    def __init__(
        self,
        upstream: Upstream,
        path: str,
        parse: Callable[[Object], V | None],
        changed: Callable[[Key, V | None, V | None], None],
        *,
        query: Mapping[str, str] | None = None,
        timing: Timing = Timing(),  # noqa: B008 - frozen
    ) -> None:
        self._parse = parse
        self._changed = changed
        self._items: dict[Key, V] = {}
        self.items: Mapping[Key, V] = MappingProxyType(self._items)
        self.reflector = Reflector(upstream, path, self.deliver, query=query, timing=timing)

    def deliver(self, change: Change) -> None:
        """Take one change in."""
        if isinstance(change, Sync):
            self._replace({key_of(item): self._parse(item) for item in change.items})
        else:
            key = key_of(change.object)  # before `parse`, which may change the object
            self._set(key, None if change.type == DELETED else self._parse(change.object))

    def _replace(self, found: Mapping[Key, V | None]) -> None:
        for key in [key for key in self._items if found.get(key) is None]:
            self._set(key, None)
        for key, value in found.items():
            self._set(key, value)

    def _set(self, key: Key, after: V | None) -> None:
        before = self._items.get(key)
        if before == after:
            return
        if after is None:
            del self._items[key]
        else:
            self._items[key] = after
        self._changed(key, before, after)
