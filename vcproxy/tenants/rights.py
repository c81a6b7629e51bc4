"""The roles and bindings of all tenants, live: one Policy per tenant, fed by watches of their Shadow objects.

A change counts when its event comes, within a second; for whoever wrote it through this proxy it counts at once: the
answer of the host is learned before it is sent on. An event that is older than what is known changes nothing.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec

from vcproxy.core import grants, rbac_defaults, shadow
from vcproxy.core.fields_shadow import SHADOW
from vcproxy.core.grants import Grant
from vcproxy.core.hosting import Upstream
from vcproxy.core.kinds import TABLE, Kind
from vcproxy.core.names import SYSTEM_NAMESPACE, TenantId, VirtualName, tenant_id, up
from vcproxy.core.rbac_policy import Policy
from vcproxy.core.scope import Scope
from vcproxy.tenants.hostapi import HostApi, Object, path_of
from vcproxy.tenants.mirror import Key, Mirror
from vcproxy.tenants.reflector import Reflector, Timing

RBAC: Final = "rbac.authorization.k8s.io"
RESOURCES: Final = ("roles", "clusterroles", "rolebindings", "clusterrolebindings")
GONE_LIMIT: Final = 4096
"""Deleted objects that are remembered, so that no late event brings one back."""

Identity = tuple[str, str, str]
"""(kind, namespace, name), as the tenant has them; the namespace of cluster-scoped objects is empty."""


class _Stored(msgspec.Struct, frozen=True):
    """An object of the host, as far as rights go."""

    tenant: TenantId
    uid: str
    version: int
    document: Object


class Rights:
    """Policies by tenant, each on top of `base`. `policy` is a look-up; its reflectors keep it."""

    def __init__(self, upstream: Upstream, base: Policy, timing: Timing = Timing()) -> None:  # noqa: B008 - frozen
        self._base = base
        self._none = Policy(base)
        self._granted: dict[TenantId, tuple[Object, ...]] = {}
        self._bases: dict[TenantId, Policy] = {}
        self._policies: dict[TenantId, Policy] = {}
        self._versions: dict[TenantId, dict[Identity, tuple[str, int]]] = {}
        self._gone: dict[str, None] = {}
        self._mirrors = [self._mirror(upstream, TABLE[RBAC, resource], timing) for resource in RESOURCES]

    @property
    def reflectors(self) -> list[Reflector]:
        """What is to be run, and counts for readiness."""
        return [mirror.reflector for mirror in self._mirrors]

    def policy(self, tenant: TenantId) -> Policy:
        """A tenant's rules as they are now; without any of its own, those that it was given."""
        return self._policies.get(tenant) or self._bases.get(tenant) or self._none

    def granted(self, tenant: TenantId) -> Sequence[Object]:
        """The bindings of what a tenant was granted."""
        return self._granted.get(tenant, ())

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
        metadata = document["metadata"]
        identity, uid, version = _identity(document), str(metadata.get("uid")), _version(metadata)
        known = self._versions.setdefault(tenant, {}).get(identity)
        if uid in self._gone or (known is not None and known[0] == uid and known[1] >= version):
            return
        self._versions[tenant][identity] = uid, version
        self._policies[tenant] = self._own(tenant).put(document)

    def forget(self, tenant: TenantId, document: Object) -> None:
        """An object was deleted."""
        identity, uid = _identity(document), str(document["metadata"].get("uid"))
        while len(self._gone) >= GONE_LIMIT:
            del self._gone[next(iter(self._gone))]
        self._gone[uid] = None
        known = self._versions.get(tenant, {}).get(identity)
        if known is None or known[0] != uid:
            return
        del self._versions[tenant][identity]
        self._policies[tenant] = self._own(tenant).remove(*identity)
        if not self._versions[tenant]:
            del self._versions[tenant], self._policies[tenant]

    def _mirror(self, upstream: Upstream, row: Kind, timing: Timing) -> Mirror[_Stored]:
        def changed(key: Key, before: _Stored | None, after: _Stored | None) -> None:
            if before is not None and (after is None or after.uid != before.uid):
                self.forget(before.tenant, before.document)
            if after is not None:
                self.learn(after.tenant, after.document)

        parse: Callable[[Object], _Stored | None] = lambda document: _parsed(document, row)  # noqa: E731
        return Mirror(upstream, path_of(SHADOW, row.resource), parse, changed, timing=timing)


async def read(api: HostApi, tenant: TenantId, granted: Iterable[Grant], namespace: str = "") -> Policy:
    """A tenant's rules as they stand on the host: those of cluster scope, and those of one namespace."""
    found: list[Object] = []
    for row in (TABLE[RBAC, resource] for resource in RESOURCES):
        if row.namespaced and not namespace:
            continue
        space = up(tenant, shadow.place(row, VirtualName(namespace)))
        parsed = [_parsed(one, row) async for one in api.items(path_of(SHADOW, row.resource, space))]
        found += [one.document for one in parsed if one is not None]
    return Policy.of(found, Policy.of(grants.documents(granted, ""), rbac_defaults.policy()))


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
    uid, version = str(metadata.get("uid")), _version(metadata)
    view = shadow.to_view(document, row, Scope(tenant))
    kept = {key: value for key, value in view["metadata"].items() if key in ("name", "namespace", "uid", "labels")}
    kept["resourceVersion"] = str(version)
    return _Stored(tenant, uid, version, {**view, "metadata": kept})


def _identity(document: Object) -> Identity:
    metadata = document["metadata"]
    return str(document["kind"]), str(metadata.get("namespace") or ""), str(metadata["name"])


def _version(metadata: Object) -> int:
    text = str(metadata.get("resourceVersion"))
    return int(text) if text.isdecimal() else 0
