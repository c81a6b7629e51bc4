"""The roles and bindings of all tenants, live: one Policy per tenant, fed by watches of their Shadow objects.

A change counts when its event comes, within a second; for whoever wrote it through this proxy it counts at once: the
answer of the host is learned before it is sent on. An event that is older than what is known changes nothing.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec

from vcproxy.core import grants, rbac_defaults, shadow
from vcproxy.core.fields_shadow import SHADOW
from vcproxy.core.grants import Grant
from vcproxy.core.hosting import Upstream
from vcproxy.core.kinds import TABLE, Kind
from vcproxy.core.names import SYSTEM_NAMESPACE, TenantId, VirtualName, tenant_id, up
from vcproxy.core.rbac_bindings import Binding
from vcproxy.core.rbac_places import Place, Places
from vcproxy.core.rbac_policy import Identity, Policy, identity, parsed
from vcproxy.core.rbac_roles import Role
from vcproxy.core.rbac_words import WORDS, Room, words
from vcproxy.core.scope import Scope
from vcproxy.core.versions import version_of
from vcproxy.tenants.hostapi import HostApi, Object, path_of
from vcproxy.tenants.mirror import Key, Mirror
from vcproxy.tenants.reflector import Reflector, Timing

RBAC: Final = "rbac.authorization.k8s.io"
RESOURCES: Final = ("roles", "clusterroles", "rolebindings", "clusterrolebindings")
GONE_LIMIT: Final = 4096
"""Deleted objects that are remembered, so that no late event brings one back."""


class _Stored(msgspec.Struct, frozen=True):
    """An object of the host, as far as rights go: no more of it stays in memory, for no more of it is counted."""

    tenant: TenantId
    named: Identity
    uid: str
    version: int
    value: Role | Binding

    @classmethod
    def of(cls, tenant: TenantId, document: Object) -> "_Stored":
        """What counts of an object in the tenant's names."""
        metadata = document["metadata"]
        return cls(tenant, identity(document), str(metadata.get("uid")), _version(metadata), parsed(document))


class _Known(msgspec.Struct, frozen=True):
    """What was last heard of an object; `words` is how much it is."""

    uid: str
    version: int
    words: int


class Rights:
    """Policies by tenant, each on top of `base`. `policy` is a look-up; its reflectors keep it.

    What changes waits until somebody asks: many changes in a row, as at a start, make one new policy and not one each.
    `limit` is how many words (core/rbac_words.py) a tenant's own roles and bindings may have.
    """

    def __init__(
        self,
        upstream: Upstream,
        base: Policy,
        limit: int = WORDS,
        timing: Timing = Timing(),  # noqa: B008 - frozen
    ) -> None:
        self._base = base
        self._limit = limit
        self._none = Policy(base)
        self._granted: dict[TenantId, tuple[Object, ...]] = {}
        self._bases: dict[TenantId, Policy] = {}
        self._policies: dict[TenantId, Policy] = {}
        self._changes: dict[TenantId, dict[Identity, Role | Binding | None]] = {}
        self._known: dict[TenantId, dict[Identity, _Known]] = {}
        self._words: Counter[TenantId] = Counter()
        self._places = Places(time.monotonic)
        self._gone: dict[str, None] = {}
        self._mirrors = [self._mirror(upstream, TABLE[RBAC, resource], timing) for resource in RESOURCES]

    @property
    def reflectors(self) -> list[Reflector]:
        """What is to be run, and counts for readiness."""
        return [mirror.reflector for mirror in self._mirrors]

    def policy(self, tenant: TenantId) -> Policy:
        """A tenant's rules as they are now; without any of its own, those that it was given."""
        changes = self._changes.pop(tenant, None)
        if changes is not None:
            self._policies[tenant] = self._own(tenant).changed(changes)
        return self._policies.get(tenant) or self._bases.get(tenant) or self._none

    def granted(self, tenant: TenantId) -> Sequence[Object]:
        """The bindings of what a tenant was granted."""
        return self._granted.get(tenant, ())

    def room(self, tenant: TenantId) -> Room:
        """How many words the roles and bindings of a tenant have, with those being written, and may have."""
        return Room(self._words[tenant] + self._places.words(tenant), self._limit)

    def reserve(self, tenant: TenantId, named: Identity, more: int) -> Place:
        """A place for the words that a write adds to an object."""
        return self._places.take(tenant, named, more)

    def grant(self, tenant: TenantId, granted: Iterable[Grant], version: str) -> None:
        """What the people of a tenant are granted from now on; `version` is the Tenant's resourceVersion."""
        self._granted.pop(tenant, None)
        self._bases.pop(tenant, None)
        if documents := grants.documents(granted, version):
            self._granted[tenant] = documents
            self._bases[tenant] = Policy.of(documents, self._base)
        if tenant in self._policies:
            self._policies[tenant] = self._policies[tenant].based_on(self._bases.get(tenant, self._base))

    def _own(self, tenant: TenantId) -> Policy:
        """What a tenant has written itself, on top of what it was given."""
        return self._policies.get(tenant) or Policy(self._bases.get(tenant, self._base))

    def learn(self, tenant: TenantId, document: Object) -> None:
        """Take up an object as the host answered a write with it, in the tenant's names."""
        self._take_up(_Stored.of(tenant, document))

    def _take_up(self, one: _Stored) -> None:
        tenant, new = one.tenant, _Known(one.uid, one.version, words(one.value))
        known = self._known.get(tenant, {}).get(one.named)
        if new.uid in self._gone or (known is not None and known.uid == new.uid and known.version >= new.version):
            return
        self._places.told(tenant, one.named)
        self._known.setdefault(tenant, {})[one.named] = new
        self._words[tenant] += new.words - (known.words if known is not None else 0)
        self._changes.setdefault(tenant, {})[one.named] = one.value

    def forget(self, tenant: TenantId, document: Object) -> None:
        """An object was deleted."""
        self._give_up(tenant, identity(document), str(document["metadata"].get("uid")))

    def _give_up(self, tenant: TenantId, named: Identity, uid: str) -> None:
        while len(self._gone) >= GONE_LIMIT:
            del self._gone[next(iter(self._gone))]
        self._gone[uid] = None
        known = self._known.get(tenant, {}).get(named)
        if known is None or known.uid != uid:
            return
        del self._known[tenant][named]
        self._words[tenant] -= known.words
        self._changes.setdefault(tenant, {})[named] = None
        if not self._known[tenant]:
            for kept in (self._known, self._changes, self._words, self._policies):
                kept.pop(tenant, None)

    def _mirror(self, upstream: Upstream, row: Kind, timing: Timing) -> Mirror[_Stored]:
        def changed(key: Key, before: _Stored | None, after: _Stored | None) -> None:
            if before is not None and (after is None or after.uid != before.uid):
                self._give_up(before.tenant, before.named, before.uid)
            if after is not None:
                self._take_up(after)

        parse: Callable[[Object], _Stored | None] = lambda document: _parsed(document, row)  # noqa: E731
        return Mirror(upstream, path_of(SHADOW, row.resource), parse, changed, timing=timing)


async def read(api: HostApi, tenant: TenantId, granted: Iterable[Grant], namespace: str = "") -> Policy:
    """A tenant's rules as they stand on the host: those of cluster scope, and those of one namespace."""
    found: dict[Identity, Role | Binding | None] = {}
    for row in (TABLE[RBAC, resource] for resource in RESOURCES):
        if row.namespaced and not namespace:
            continue
        space = up(tenant, shadow.place(row, VirtualName(namespace)))
        stored = [_parsed(one, row) async for one in api.items(path_of(SHADOW, row.resource, space))]
        found |= {one.named: one.value for one in stored if one is not None}
    return Policy(Policy.of(grants.documents(granted, ""), rbac_defaults.policy())).changed(found)


def _parsed(document: Object, row: Kind) -> _Stored | None:
    """An object with its owner, in the owner's names; None where the namespace is none of a tenant's."""
    metadata = document.get("metadata") or {}
    owner, _, space = str(metadata.get("namespace")).partition("-")  # an id holds no hyphen
    try:
        tenant = tenant_id(owner)
    except ValueError:
        return None
    if not space or row.namespaced == (VirtualName(space) == SYSTEM_NAMESPACE):
        return None
    version = str(metadata.get("resourceVersion"))
    view = shadow.to_view(document, row, Scope(tenant))
    return _Stored.of(tenant, {**view, "metadata": {**view["metadata"], "resourceVersion": version}})


def _version(metadata: Object) -> int:
    return version_of(metadata.get("resourceVersion"))
