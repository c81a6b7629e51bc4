"""All tenants and their namespaces, live: what the way of a request asks without waiting.

Fed by watches of the host under the proxy's read credential. Reads are dictionary look-ups of immutable values that
are made anew on each change.
"""

import asyncio
import base64
import binascii
import contextlib
import hashlib
import time
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final, TypeVar

import msgspec

from vcproxy.core.apis import NONE, OwnApi, OwnApis, collect, definition_down, parse
from vcproxy.core.classes import Classes
from vcproxy.core.hosting import Upstream
from vcproxy.core.names import (
    SYSTEM_NAMESPACE,
    TENANT_LABEL,
    HostName,
    TenantId,
    VirtualName,
    tenant_id,
)
from vcproxy.core.nodes import Sight
from vcproxy.core.view import NamespaceInfo, TenantView
from vcproxy.tenants import authorities, resource
from vcproxy.tenants.authorities import Kept
from vcproxy.tenants.changes import TenantChanges
from vcproxy.tenants.defaults import HOST, DefaultClasses
from vcproxy.tenants.hostapi import HostApi, Object, path_of
from vcproxy.tenants.manifests import INSTALLATION, KEYS_SECRET, TOKENS_LABEL
from vcproxy.tenants.mirror import Key, Mirror
from vcproxy.tenants.namespaces import MEMORY_LIMIT, Lookups, OwnedNamespace, owned_namespace
from vcproxy.tenants.nodes import NodeLabels
from vcproxy.tenants.reflector import Reflector, Timing
from vcproxy.tenants.resource import Tenant
from vcproxy.tenants.subscriptions import NamespaceAdded, NamespaceRemoved, Subscription, Subscriptions, TenantChanged

GONE_SECONDS: Final = 600.0
"""How long it is known whose a namespace was: the last events of its objects may come after its own."""

V = TypeVar("V")


class _Definition(msgspec.Struct, frozen=True):
    """A CustomResourceDefinition of a tenant; `api` is None while it is not served."""

    tenant: TenantId
    api: OwnApi | None
    revision: str


def _definition(document: Object) -> _Definition | None:
    metadata = document.get("metadata") or {}
    try:
        owner = tenant_id(str((metadata.get("labels") or {}).get(TENANT_LABEL)))
    except ValueError:
        return None
    api = parse(document, owner, resource.moment(metadata.get("creationTimestamp")))
    return _Definition(owner, api, f"{metadata.get('uid')}/{metadata.get('generation')}/{api is not None}")


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
        on_authorities: Callable[[TenantId, Kept | None], None] = lambda tenant, found: None,
        on_keys: Callable[[Mapping[str, bytes] | None], None] = lambda data: None,
        on_authentication: Callable[[TenantId, Mapping[str, Any] | None], None] = lambda tenant, spec: None,
        on_grants: Callable[[TenantId, Tenant | None], None] = lambda tenant, found: None,
        exported: frozenset[str] = frozenset(),
        timing: Timing = Timing(),  # noqa: B008 - frozen
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._upstream = upstream
        self._exported = exported
        self._on_tokens = on_tokens
        self._on_authentication = on_authentication
        self._on_grants = on_grants
        self._timing = timing
        self._clock = clock
        self._reflectors: list[Reflector] = []
        self._known: dict[TenantId, Tenant] = {}
        self._views: dict[TenantId, TenantView] = {}
        self._spaces: dict[TenantId, dict[VirtualName, NamespaceInfo]] = {}
        self._definitions: dict[TenantId, dict[str, _Definition]] = {}
        self._apis: dict[TenantId, OwnApis] = {}
        self._subscriptions = Subscriptions()
        self._lookups = Lookups(HostApi(upstream), clock)
        self._gone: dict[tuple[TenantId, VirtualName], float] = {}
        self._nodes = NodeLabels(upstream, timing=timing)
        self._reflectors.append(self._nodes.reflector)
        self._mirror(resource.COLLECTION, resource.parse, self._tenant_changed)
        namespaces = path_of("v1", "namespaces")
        self._mirror(namespaces, owned_namespace, self._namespace_changed, labelSelector=TENANT_LABEL)
        definitions = path_of("apiextensions.k8s.io/v1", "customresourcedefinitions")
        self._mirror(definitions, _definition, self._definition_changed, labelSelector=TENANT_LABEL)
        self._mirror(_installation("configmaps"), _token_map, self._tokens_changed, labelSelector=TOKENS_LABEL)
        self._mirror(
            authorities.CONFIG_MAPS,
            authorities.parse,
            lambda key, before, after: _tell_authorities(on_authorities, before, after),
            labelSelector=authorities.LABEL,
        )
        self._defaults = DefaultClasses(self._default_changed)
        self._defaults.keep(self._mirror)
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

    def classes(self, tenant: TenantId) -> Classes:
        """Which classes count for a tenant; for one that is not known none."""
        known = self.tenant(tenant)
        if known is None:
            return Classes()
        return Classes(known.classes, known.defaults, self._defaults.of_host())

    def sight(self, view: TenantView) -> Sight:
        """What a tenant may see of nodes; all but its selection is live."""
        nodes = self._nodes
        return Sight(view.nodes, nodes.labels, self._known.keys(), nodes.gone, nodes.changed, lambda: nodes.reached)

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
        return await self._lookups.find(tenant, name, deadline)

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

    def keep(self, reflectors: Iterable[Reflector]) -> None:
        """Run these too, and count them for `synced` and `reasons`. To be called before `run`."""
        self._reflectors += reflectors

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
        after = _same_nodes(after, self._known.pop(tenant, None))
        told = before.authentication if before is not None else {}
        if told != (after.authentication if after is not None else {}):
            self._on_authentication(tenant, after.authentication if after is not None else None)
        if (before.grants if before is not None else ()) != (after.grants if after is not None else ()):
            self._on_grants(tenant, after)
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
        self._lookups.forget(space.tenant, space.name)
        if added:
            self._subscriptions.publish(space.tenant, NamespaceAdded(space.name, info))

    def _forget(self, space: OwnedNamespace) -> None:
        spaces = self._spaces.get(space.tenant, {})
        spaces.pop(space.name, None)
        if not spaces:
            self._spaces.pop(space.tenant, None)
        self._views.pop(space.tenant, None)
        self._lookups.forget(space.tenant, space.name)
        while len(self._gone) >= MEMORY_LIMIT:
            del self._gone[next(iter(self._gone))]
        self._gone[space.tenant, space.name] = self._clock() + GONE_SECONDS
        self._subscriptions.publish(space.tenant, NamespaceRemoved(space.name))

    def _view(self, known: Tenant) -> TenantView:
        spaces = MappingProxyType(dict(self._spaces.get(known.id, {})))
        return TenantView(
            known.id,
            known.uid,
            known.phase,
            known.profile,
            known.classes,
            spaces,
            self._apis.get(known.id, NONE),
            known.nodes,
            defaults=self._defaults.of(known.id, known.classes),
            birth=known.status.birth,
            writable=known.writable,
            created=known.created,
        )

    def _default_changed(self, owner: TenantId) -> None:
        if owner == HOST:
            self._views.clear()
        else:
            self._views.pop(owner, None)

    def _definition_changed(self, key: Key, before: "_Definition | None", after: "_Definition | None") -> None:
        for gone in (one for one in (before,) if one is not None and (after is None or after.tenant != one.tenant)):
            self._definitions.get(gone.tenant, {}).pop(key[1], None)
            self._collect(gone.tenant)
        if after is not None:
            self._definitions.setdefault(after.tenant, {})[key[1]] = after
            self._collect(after.tenant)

    def _collect(self, tenant: TenantId) -> None:
        """Make the tenant's own kinds anew; they count for every request from now on."""
        known = self._definitions.get(tenant, {})
        served = (one.api for one in known.values() if one.api is not None and one.api.group not in self._exported)
        revision = hashlib.sha256("".join(sorted(one.revision for one in known.values())).encode()).hexdigest()
        self._apis[tenant] = collect(served, revision, (definition_down(tenant, name) for name in known))
        if not known:
            self._definitions.pop(tenant, None)
            self._apis.pop(tenant, None)
        self._views.pop(tenant, None)
        self._subscriptions.publish(tenant, TenantChanged(self.tenant(tenant)))

    def _tokens_changed(self, key: Key, before: _TokenMap | None, after: _TokenMap | None) -> None:
        if before is not None and (after is None or after.tenant != before.tenant):
            self._on_tokens(before.tenant, None)
        if after is not None:
            self._on_tokens(after.tenant, after.data)


def _token_map(document: Object) -> _TokenMap | None:
    """The tokens of one tenant: label and name must agree, so that no map speaks for a tenant that is not its own."""
    metadata = document.get("metadata") or {}
    owner = (metadata.get("labels") or {}).get(TOKENS_LABEL)
    if not owner or metadata.get("name") != f"tokens-{owner}":
        return None
    return _TokenMap(TenantId(owner), document.get("data") or {})


def _tell_authorities(tell: Callable[[TenantId, Kept | None], None], before: Kept | None, after: Kept | None) -> None:
    if before is not None and (after is None or after.tenant != before.tenant):
        tell(before.tenant, None)
    if after is not None:
        tell(after.tenant, after)


def _same_nodes(now: Tenant | None, before: Tenant | None) -> Tenant | None:
    """A Tenant whose selection of nodes is as old as it is: most changes of a Tenant are others."""
    if now is None or before is None or now.uid != before.uid or now.nodes.terms != before.nodes.terms:
        return now
    return msgspec.structs.replace(now, nodes=before.nodes)


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
