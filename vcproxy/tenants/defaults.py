"""Which class counts where a tenant's object names none: of storage, of Ingresses, of priority.

A tenant's own default is marked where the host does not look (core.fields_private); the host's own default counts where
the tenant may use it. Of several the newest counts, then the first by name, as on any cluster
(https://kubernetes.io/docs/concepts/storage/storage-classes/#default-storageclass).
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from vcproxy.core.fields_private import is_default
from vcproxy.core.names import TENANT_LABEL, TenantId
from vcproxy.core.view import ClassLists, Defaults
from vcproxy.tenants import resource
from vcproxy.tenants.hostapi import Object, path_of
from vcproxy.tenants.mirror import Key, Mirror

HOST: Final = TenantId("")
"""Stands for the provider as the owner of a class."""


class Source(msgspec.Struct, frozen=True):
    """A kind of class: its collection, how the host marks a default and how a tenant's is marked, whose may be used."""

    name: str
    path: str
    flag: str
    lent: Callable[[ClassLists], frozenset[str]]

    def marked(self, document: Object, owner: TenantId) -> bool:
        """Whether a class is its owner's default."""
        annotations: Mapping[str, Any] = (document.get("metadata") or {}).get("annotations") or {}
        if owner != HOST:
            return is_default(annotations, self.flag)
        host = document.get("globalDefault", annotations.get(f"{self.flag}/is-default-class"))
        return str(host).lower() == "true"


SOURCES: Final = (
    Source(
        "storage",
        path_of("storage.k8s.io/v1", "storageclasses"),
        "storageclass.kubernetes.io",
        lambda classes: classes.storage,
    ),
    Source(
        "ingress",
        path_of("networking.k8s.io/v1", "ingressclasses"),
        "ingressclass.kubernetes.io",
        lambda classes: classes.ingress,
    ),
    Source(
        "priority",
        path_of("scheduling.k8s.io/v1", "priorityclasses"),
        "globalDefault",
        lambda classes: classes.priority,
    ),
)


class Marked(msgspec.Struct, frozen=True):
    """A class that is its owner's default; `created` is in seconds since the epoch."""

    owner: TenantId
    name: str
    created: float


class DefaultClasses:
    """`changed(owner)` is called when an owner's default has changed; HOST: that of the provider."""

    def __init__(self, changed: Callable[[TenantId], None]) -> None:
        self._changed = changed
        self._mirrors: dict[str, Mirror[Marked]] = {}

    def keep(self, mirror: Callable[[str, Callable[[Object], Marked | None], Any], Mirror[Marked]]) -> None:
        """Follow the host's classes. `mirror(path, parse, changed)` makes what follows a collection."""
        for source in SOURCES:
            self._mirrors[source.name] = mirror(source.path, _parser(source), self._told)

    def of(self, tenant: TenantId, classes: ClassLists) -> Defaults:
        """The defaults of a tenant, as they are called on the host."""
        return Defaults(**{source.name: self._of(source, tenant, classes) for source in SOURCES})

    def of_host(self) -> Defaults:
        """The defaults of the host itself."""
        return Defaults(**{source.name: _newest(self._owned(source, HOST)) for source in SOURCES})

    def _of(self, source: Source, tenant: TenantId, classes: ClassLists) -> str:
        lent = [one for one in self._owned(source, HOST) if one.name in source.lent(classes)]
        return _newest(self._owned(source, tenant) or lent)

    def _owned(self, source: Source, owner: TenantId) -> list[Marked]:
        mirror = self._mirrors.get(source.name)
        return [one for one in mirror.items.values() if one.owner == owner] if mirror is not None else []

    def _told(self, key: Key, before: Marked | None, after: Marked | None) -> None:
        for owner in {one.owner for one in (before, after) if one is not None}:
            self._changed(owner)


def _newest(marked: list[Marked]) -> str:
    found = min(marked, key=lambda one: (-one.created, one.name), default=None)
    return found.name if found is not None else ""


def _parser(source: Source) -> Callable[[Object], Marked | None]:
    def parse(document: Object) -> Marked | None:
        metadata = document.get("metadata") or {}
        owner = TenantId(str((metadata.get("labels") or {}).get(TENANT_LABEL) or HOST))
        if not source.marked(document, owner):
            return None
        return Marked(owner, str(metadata.get("name")), resource.moment(metadata.get("creationTimestamp")))

    return parse
