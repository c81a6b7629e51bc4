"""The labels of the host's nodes, live, and when they changed: what decides who sees a node and what follows it."""

from collections import deque
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from vcproxy.core.hosting import Upstream
from vcproxy.core.nodes import Labels, Selection
from vcproxy.core.versions import version_of
from vcproxy.tenants.hostapi import Object, path_of
from vcproxy.tenants.reflector import DELETED, Change, Reflector, Sync, Timing

LOG: Final = 4096
"""Changes of labels that are remembered."""
GONE: Final = 1024
"""Deleted nodes whose labels are remembered."""


class _Changed(msgspec.Struct, frozen=True):
    version: int
    name: str
    before: Labels | None
    after: Labels | None


class NodeLabels:
    """All nodes by name. `gone` are those that were deleted last; `reached` the newest resourceVersion seen."""

    def __init__(self, upstream: Upstream, *, timing: Timing = Timing()) -> None:  # noqa: B008 - frozen
        self._labels: dict[str, Labels] = {}
        self._gone: dict[str, Labels] = {}
        self._log: deque[_Changed] = deque()
        self._floor = 0
        self.labels: Mapping[str, Labels] = MappingProxyType(self._labels)
        self.gone: Mapping[str, Labels] = MappingProxyType(self._gone)
        self.reached = 0
        self.reflector = Reflector(upstream, path_of("v1", "nodes"), self.deliver, timing=timing)

    def changed(self, selection: Selection, version: int) -> Collection[str] | None:
        """Nodes that are or were of a selection and whose labels have changed since a resourceVersion; None: unknown.

        Versions of nodes and of what follows them are compared: the host counts both in one store.
        """
        if not selection.terms:
            return ()
        if version < self._floor:
            return None
        found = set[str]()
        for one in reversed(self._log):
            if one.version <= version:
                break
            if any(labels is not None and selection.holds(labels) for labels in (one.before, one.after)):
                found.add(one.name)
        return found

    def deliver(self, change: Change) -> None:
        """Take one change in."""
        if isinstance(change, Sync):
            self._replace(change)
            return
        name, version = _name(change.object), _version(change.object)
        self.reached = max(self.reached, version)
        self._set(name, None if change.type == DELETED else _labels(change.object), self.reached)

    def _replace(self, whole: Sync) -> None:
        """A new list: what differs has changed at some time before it, nobody knows when."""
        found = {_name(item): _labels(item) for item in whole.items}
        versions = [*map(_version, whole.items), version_of(whole.version)]
        self.reached = max(self.reached, *versions)
        if found == self._labels and self._floor:
            return
        for name in self._labels.keys() - found.keys():
            self._set(name, None, self.reached)
        for name, labels in found.items():
            self._set(name, labels, self.reached)
        self._log.clear()
        self._floor = max(self.reached, 1)

    def _set(self, name: str, after: Labels | None, version: int) -> None:
        before = self._labels.get(name)
        if before == after:
            return
        if after is None:
            self._gone[name] = self._labels.pop(name)
            while len(self._gone) > GONE:
                del self._gone[next(iter(self._gone))]
        else:
            self._labels[name] = after
            before = self._gone.pop(name, before)
        if before == after:
            return  # it was away for a moment
        self._log.append(_Changed(version, name, before, after))
        while len(self._log) > LOG:
            self._floor = self._log.popleft().version


def _name(document: Object) -> str:
    return str((document.get("metadata") or {}).get("name") or "")


def _labels(document: Object) -> Labels:
    labels = (document.get("metadata") or {}).get("labels") or {}
    return {str(key): str(value) for key, value in labels.items()}


def _version(document: Object) -> int:
    return version_of((document.get("metadata") or {}).get("resourceVersion"))
