"""All tenants and their namespaces, live: what the way of a request asks without waiting.

Fed by watches of the host under the proxy's read credential. A namespace belongs to a tenant only if label and prefix
agree; the system namespace and hidden ones are never shown. Reads are dictionary look-ups of immutable values that are
made anew on each change.
"""

import asyncio
import base64
import binascii
import contextlib
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, TypeVar

import msgspec

from vcproxy.core import status
from vcproxy.core.hosting import Upstream
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
from vcproxy.core.view import NamespaceInfo, TenantView
from vcproxy.tenants import resource
from vcproxy.tenants.changes import TenantChanges
from vcproxy.tenants.hostapi import HostApi, HostError, Object, path_of
from vcproxy.tenants.mirror import Key, Mirror
from vcproxy.tenants.reflector import Reflector, Timing
from vcproxy.tenants.resource import Tenant
from vcproxy.tenants.subscriptions import NamespaceAdded, NamespaceRemoved, Subscription, Subscriptions, TenantChanged

INSTALLATION: Final = "vcproxy-system"
KEYS_SECRET: Final = "vcproxy-keys"  # noqa: S105 - a name
TOKENS_LABEL: Final = "vcproxy.io/tokens"
ABSENT_SECONDS: Final = 0.5
"""How long a namespace that the host does not have is believed to be absent."""
EARLY_SECONDS: Final = 2.0
"""How long a namespace that was asked for before its event came is believed to be there."""
GONE_SECONDS: Final = 600.0
"""How long it is known whose a namespace was: the last events of its objects may come after its own."""
MEMORY_LIMIT: Final = 4096

V = TypeVar("V")


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


class _TokenMap(msgspec.Struct, frozen=True):
    tenant: TenantId
    data: dict[str, str]


class Registry:
    """Live snapshots of tenants and namespaces. `run` keeps them; everything else only reads."""

    def __init__(
        self,
        upstream: Upstream,
        *,
        on_tokens: Callable[[TenantId, Mapping[str, str] | None], None] = lambda tenant, data: None,
        on_keys: Callable[[Mapping[str, bytes] | None], None] = lambda data: None,
        timing: Timing = Timing(),  # noqa: B008 - frozen
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._upstream = upstream
        self._api = HostApi(upstream)
        self._on_tokens = on_tokens
        self._timing = timing
        self._clock = clock
        self._reflectors: list[Reflector] = []
        self._known: dict[TenantId, Tenant] = {}
        self._views: dict[TenantId, TenantView] = {}
        self._spaces: dict[TenantId, dict[VirtualName, NamespaceInfo]] = {}
        self._subscriptions = Subscriptions()
        self._early: dict[tuple[TenantId, VirtualName], tuple[float, NamespaceInfo | None]] = {}
        self._gone: dict[tuple[TenantId, VirtualName], float] = {}
        self._flights: dict[tuple[TenantId, VirtualName], asyncio.Task[NamespaceInfo | None]] = {}
        self._mirror(resource.COLLECTION, resource.parse, self._tenant_changed)
        namespaces = path_of("v1", "namespaces")
        self._mirror(namespaces, owned_namespace, self._namespace_changed, labelSelector=TENANT_LABEL)
        self._mirror(_installation("configmaps"), _token_map, self._tokens_changed, labelSelector=TOKENS_LABEL)
        self.watch_object(_installation("secrets"), KEYS_SECRET, lambda found: on_keys(_secret(found)))

    # -- what the way of a request asks

    def tenant(self, tenant: TenantId | str) -> TenantView | None:
        """A tenant as it is now, in O(1); None where there is none."""
        view = self._views.get(TenantId(tenant))
        if view is None and (known := self._known.get(TenantId(tenant))) is not None:
            view = self._views[known.id] = self._view(known)
        return view

    def tenants(self) -> tuple[TenantView, ...]:
        """All tenants, for metrics and people."""
        return tuple(view for view in map(self.tenant, self._known) if view is not None)

    def known_namespace(self, tenant: TenantId, name: VirtualName) -> NamespaceInfo | None:
        """A namespace that the watch has told of, without waiting."""
        return self._spaces.get(tenant, {}).get(name)

    def owner(self, namespace: HostName) -> tuple[TenantId, VirtualName] | None:
        """Whose namespace of the host this is, or was until a short while ago, in O(1)."""
        tenant, _, name = namespace.partition("-")  # an id holds no hyphen
        found = TenantId(tenant), VirtualName(name)
        known = self.known_namespace(*found) is not None or self._gone.get(found, 0.0) > self._clock()
        return found if known else None

    async def namespace(self, tenant: TenantId, name: VirtualName, deadline: float) -> NamespaceInfo | None:
        """A namespace of a tenant, or None. One that is not known is asked of the host, once for all who wait.

        `deadline` is seconds from now. Raises ApiError: 502 to 504 where the host does not say, 504 after the deadline.
        """
        known = self.known_namespace(tenant, name)
        if known is not None or name == SYSTEM_NAMESPACE or not name:
            return known
        until, info = self._early.get((tenant, name), (0.0, None))
        if self._clock() < until:
            return info
        return await self._ask(tenant, name, deadline)

    def subscribe(self, tenant: TenantId) -> Subscription:
        """Events of one tenant from now on; the caller closes it."""
        return self._subscriptions.subscribe(tenant)

    def changes(self, view: TenantView) -> TenantChanges:
        """What an open watch of this tenant follows; the caller closes it."""
        return TenantChanges(view, self.tenant, self.subscribe)

    # -- whether it can be relied on

    @property
    def synced(self) -> bool:
        """Whether everything that is watched has been listed once."""
        return all(reflector.synced for reflector in self._reflectors)

    async def wait_synced(self) -> None:
        for reflector in self._reflectors:
            await reflector.wait_synced()

    def reasons(self) -> list[str]:
        """Why the snapshots cannot be relied on now; empty when they can."""
        found = (reflector.reason() for reflector in self._reflectors)
        return [reason for reason in found if reason is not None]

    # -- keeping it

    async def run(self) -> None:
        """Watches until cancelled."""
        async with asyncio.TaskGroup() as group:
            for reflector in self._reflectors:
                group.create_task(reflector.run(), name=f"reflector {reflector.path}")

    def watch_object(self, path: str, name: str, callback: Callable[[Object | None], None]) -> None:
        """Call `callback` with one object of a collection when first seen and after each change, None when it goes.

        To be called before `run`; `path` is that of the collection. Counts for `synced` and `reasons`.
        """

        def changed(key: Key, before: Object | None, after: Object | None) -> None:
            if key[1] == name:
                callback(after)

        self._mirror(path, lambda document: document, changed, fieldSelector=f"metadata.name={name}")

    def _mirror(
        self,
        path: str,
        parse: Callable[[Object], V | None],
        changed: Callable[[Key, V | None, V | None], None],
        **query: str,
    ) -> Mirror[V]:
        mirror = Mirror(self._upstream, path, parse, changed, query=query, timing=self._timing)
        self._reflectors.append(mirror.reflector)
        return mirror

    def _tenant_changed(self, key: Key, before: Tenant | None, after: Tenant | None) -> None:
        tenant = TenantId(key[1])
        old = self.tenant(tenant)
        self._known.pop(tenant, None)
        if after is not None:
            self._known[tenant] = after
        self._views.pop(tenant, None)
        new = self.tenant(tenant)
        if old != new:
            self._subscriptions.publish(tenant, TenantChanged(new))

    def _namespace_changed(self, key: Key, before: OwnedNamespace | None, after: OwnedNamespace | None) -> None:
        if before is not None and (after is None or after.uid != before.uid):
            self._forget(before)
        if after is not None:
            added = before is None or after.uid != before.uid
            known = None if added else self.known_namespace(after.tenant, after.name)
            self._remember(after, _same_birth(after.info, known), added=added)

    def _remember(self, space: OwnedNamespace, info: NamespaceInfo, *, added: bool) -> None:
        self._spaces.setdefault(space.tenant, {})[space.name] = info
        self._views.pop(space.tenant, None)
        self._early.pop((space.tenant, space.name), None)
        if added:
            self._subscriptions.publish(space.tenant, NamespaceAdded(space.name, info))

    def _forget(self, space: OwnedNamespace) -> None:
        spaces = self._spaces.get(space.tenant, {})
        spaces.pop(space.name, None)
        if not spaces:
            self._spaces.pop(space.tenant, None)
        self._views.pop(space.tenant, None)
        self._early.pop((space.tenant, space.name), None)
        while len(self._gone) >= MEMORY_LIMIT:
            del self._gone[next(iter(self._gone))]
        self._gone[space.tenant, space.name] = self._clock() + GONE_SECONDS
        self._subscriptions.publish(space.tenant, NamespaceRemoved(space.name))

    def _view(self, known: Tenant) -> TenantView:
        spaces = MappingProxyType(dict(self._spaces.get(known.id, {})))
        return TenantView(known.id, known.uid, known.phase, known.profile, known.classes, spaces)

    def _tokens_changed(self, key: Key, before: _TokenMap | None, after: _TokenMap | None) -> None:
        if before is not None and (after is None or after.tenant != before.tenant):
            self._on_tokens(before.tenant, None)
        if after is not None:
            self._on_tokens(after.tenant, after.data)

    # -- namespaces that no event has told of yet

    async def _ask(self, tenant: TenantId, name: VirtualName, deadline: float) -> NamespaceInfo | None:
        key = tenant, name
        flight = self._flights.get(key)
        if flight is None:
            if len(self._flights) >= MEMORY_LIMIT:
                raise status.too_many_requests("too many requests for new namespaces, please try again later", 1)
            flight = self._flights[key] = asyncio.create_task(self._fetch(tenant, name))
            flight.add_done_callback(lambda done: self._landed(key, done))
        done, _ = await asyncio.wait({flight}, timeout=deadline)  # others may wait for the same answer
        if not done:
            raise status.timed_out()
        return flight.result()

    def _landed(self, key: tuple[TenantId, VirtualName], flight: asyncio.Task[NamespaceInfo | None]) -> None:
        self._flights.pop(key, None)
        if not flight.cancelled():
            flight.exception()  # whoever waited has it; nobody may have

    async def _fetch(self, tenant: TenantId, name: VirtualName) -> NamespaceInfo | None:
        try:
            document = await self._api.get(path_of("v1", "namespaces", name=up(tenant, name)))
        except HostError as error:
            raise status.bad_gateway() from error
        owned = owned_namespace(document) if document is not None else None
        info = owned.info if owned is not None and (owned.tenant, owned.name) == (tenant, name) else None
        known = self.known_namespace(tenant, name)
        if known is not None:
            return known
        while len(self._early) >= MEMORY_LIMIT:
            del self._early[next(iter(self._early))]
        life = ABSENT_SECONDS if info is None else EARLY_SECONDS
        self._early[tenant, name] = self._clock() + life, info
        return info


def _token_map(document: Object) -> _TokenMap | None:
    """The tokens of one tenant: label and name must agree, so that no map speaks for a tenant that is not its own."""
    metadata = document.get("metadata") or {}
    owner = (metadata.get("labels") or {}).get(TOKENS_LABEL)
    if not owner or metadata.get("name") != f"tokens-{owner}":
        return None
    return _TokenMap(TenantId(owner), document.get("data") or {})


def _same_birth(now: NamespaceInfo, before: NamespaceInfo | None) -> NamespaceInfo:
    return now if before is None else msgspec.structs.replace(now, resource_version=before.resource_version)


def _installation(collection: str) -> str:
    return path_of("v1", collection, INSTALLATION)


def _secret(document: Object | None) -> Mapping[str, bytes] | None:
    """The data of a Secret with base64 undone; an entry that is none is left out."""
    if document is None:
        return None
    found: dict[str, bytes] = {}
    for key, text in (document.get("data") or {}).items():
        with contextlib.suppress(binascii.Error, ValueError, TypeError):
            found[key] = base64.b64decode(text, validate=True)
    return found
