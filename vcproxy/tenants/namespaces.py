"""Namespaces of the host that tenants own, and how one is looked up that no event has told of yet.

A namespace belongs to a tenant only if label and prefix agree; the system namespace and hidden ones are never shown.
"""

import asyncio
from collections.abc import Callable
from typing import Final

import msgspec

from vcproxy.core import status
from vcproxy.core.names import (
    HIDDEN_LABEL,
    SYSTEM_NAMESPACE,
    TENANT_LABEL,
    HostName,
    TenantId,
    VirtualName,
    down,
    tenant_id,
    up,
)
from vcproxy.core.view import NamespaceInfo
from vcproxy.tenants import resource
from vcproxy.tenants.hostapi import HostApi, HostError, Object, path_of

EARLY_SECONDS: Final = 2.0
"""How long a namespace that was asked for before its event came is believed to be there."""
MEMORY_LIMIT: Final = 4096

_Key = tuple[TenantId, VirtualName]


class OwnedNamespace(msgspec.Struct, frozen=True):
    """A host namespace that a tenant owns and sees."""

    tenant: TenantId
    name: VirtualName
    uid: str
    info: NamespaceInfo


def owned_namespace(document: Object) -> OwnedNamespace | None:
    """Whose namespace this is, or None where label and prefix do not agree or it is hidden."""
    metadata = document.get("metadata") or {}
    labels = metadata.get("labels") or {}
    try:
        owner = tenant_id(str(labels.get(TENANT_LABEL)))
    except ValueError:
        return None
    name = down(owner, HostName(str(metadata.get("name"))))
    if name is None or name == SYSTEM_NAMESPACE or HIDDEN_LABEL in labels:
        return None
    info = NamespaceInfo(
        resource.moment(metadata.get("creationTimestamp")),
        str(metadata.get("resourceVersion") or ""),
        bool(metadata.get("deletionTimestamp")),
    )
    return OwnedNamespace(owner, name, str(metadata.get("uid") or ""), info)


class Lookups:
    """Questions to the host for single namespaces, one at a time for each.

    What is found is believed until its event comes, for a moment at most. Absence is never remembered, nor taken from
    a question that was on its way before the caller came: who has just made a namespace, by this replica or another,
    finds it at the next request, however late its event is.
    """

    def __init__(self, api: HostApi, clock: Callable[[], float]) -> None:
        self._api = api
        self._clock = clock
        self._found: dict[_Key, tuple[float, NamespaceInfo]] = {}
        self._flights: dict[_Key, asyncio.Task[NamespaceInfo | None]] = {}

    async def find(self, tenant: TenantId, name: VirtualName, deadline: float) -> NamespaceInfo | None:
        """A namespace of a tenant, or None. `deadline` is seconds from now for each of at most two questions.

        Raises ApiError: 502 to 504 where the host does not say, 504 after the deadline, 429 where too many are asked.
        """
        key = tenant, name
        until, info = self._found.get(key, (0.0, None))
        if self._clock() < until:
            return info
        joined = key in self._flights
        found = await self._join(key, deadline)
        return await self._join(key, deadline) if found is None and joined else found

    def forget(self, tenant: TenantId, name: VirtualName) -> None:
        """An event has told of it: what was found before counts no more."""
        self._found.pop((tenant, name), None)

    async def _join(self, key: _Key, deadline: float) -> NamespaceInfo | None:
        flight = self._flights.get(key)
        if flight is None:
            if len(self._flights) >= MEMORY_LIMIT:
                raise status.too_many_requests("too many requests for new namespaces, please try again later", 1)
            flight = self._flights[key] = asyncio.create_task(self._ask(*key))
            flight.add_done_callback(lambda done: self._landed(key, done))
        done, _ = await asyncio.wait({flight}, timeout=deadline)  # others may wait for the same answer
        if not done:
            raise status.timed_out()
        return flight.result()

    def _landed(self, key: _Key, flight: asyncio.Task[NamespaceInfo | None]) -> None:
        self._flights.pop(key, None)
        if flight.cancelled() or flight.exception():  # whoever waited has it; nobody may have
            return
        info = flight.result()
        if info is not None:
            while len(self._found) >= MEMORY_LIMIT:
                del self._found[next(iter(self._found))]
            self._found[key] = self._clock() + EARLY_SECONDS, info

    async def _ask(self, tenant: TenantId, name: VirtualName) -> NamespaceInfo | None:
        try:
            document = await self._api.get(path_of("v1", "namespaces", name=up(tenant, name)))
        except HostError as error:
            raise status.bad_gateway() from error
        owned = owned_namespace(document) if document is not None else None
        return owned.info if owned is not None and (owned.tenant, owned.name) == (tenant, name) else None
