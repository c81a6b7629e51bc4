"""What the controller sees of the host: tenants, their namespaces and their RoleBindings, live."""

import asyncio
import re
from collections.abc import Callable
from typing import Final

import msgspec

from vcproxy.core.hosting import Upstream
from vcproxy.core.names import HIDDEN_LABEL, TENANT_LABEL, HostName, TenantId, down, host_user, tenant_id
from vcproxy.core.pods import OWN_ROOT_CA
from vcproxy.tenants import authorities, definitions, impersonation, manifests, resource
from vcproxy.tenants.authorities import Kept
from vcproxy.tenants.definitions import Definition, Standing
from vcproxy.tenants.hostapi import Object, path_of
from vcproxy.tenants.mirror import Key, Mirror
from vcproxy.tenants.reflector import Reflector, Timing
from vcproxy.tenants.resource import Tenant

_remaining: Final = re.compile(r"([a-z0-9.\-]+?)\.? has \d+ resource instances")


class HostNamespace(msgspec.Struct, frozen=True):
    """A host namespace whose label and prefix name one tenant. `remaining` lists the resources that hold up its end."""

    tenant: TenantId
    name: HostName
    uid: str
    terminating: bool
    hidden: bool
    profile: str
    remaining: frozenset[str]


class Binding(msgspec.Struct, frozen=True):
    """A RoleBinding `vcproxy:tenant`. `subjects` are (kind, name)."""

    space: HostName
    uid: str
    resource_version: str
    deleting: bool
    finalizers: tuple[str, ...]
    role: str
    subjects: tuple[tuple[str, str], ...]
    hidden: bool

    @property
    def held(self) -> bool:
        """Whether our finalizer still holds it."""
        return manifests.LAST_FINALIZER in self.finalizers

    @property
    def tenant(self) -> TenantId | None:
        """Whose rights it gives, where the namespace has that tenant's prefix too."""
        owner = TenantId(self.space.partition("-")[0])
        return owner if ("User", host_user(owner)) in self.subjects else None

    def right_for(self, tenant: TenantId) -> bool:
        """Whether it gives a tenant what a live namespace gives it, no more and no less."""
        wanted = (("User", host_user(tenant)),)
        return (
            self.role == manifests.role_of(tenant, self.space)
            and self.subjects == wanted
            and self.held
            and self.hidden
            and not self.deleting
        )


def parse_namespace(document: Object) -> HostNamespace | None:
    """The namespace, or None where label and prefix do not agree."""
    metadata = document.get("metadata") or {}
    labels = metadata.get("labels") or {}
    name = HostName(str(metadata.get("name")))
    try:
        owner = tenant_id(str(labels.get(TENANT_LABEL)))
    except ValueError:
        return None
    if down(owner, name) is None:
        return None
    return HostNamespace(
        tenant=owner,
        name=name,
        uid=str(metadata.get("uid") or ""),
        terminating=bool(metadata.get("deletionTimestamp")),
        hidden=HIDDEN_LABEL in labels,
        profile=str(labels.get(manifests.PROFILE_LABEL) or ""),
        remaining=_remaining_resources(document),
    )


def parse_binding(document: Object) -> Binding | None:
    metadata = document.get("metadata") or {}
    if metadata.get("name") != manifests.BINDING:
        return None
    subjects = document.get("subjects") or ()
    return Binding(
        space=HostName(str(metadata.get("namespace"))),
        uid=str(metadata.get("uid") or ""),
        resource_version=str(metadata.get("resourceVersion") or ""),
        deleting=bool(metadata.get("deletionTimestamp")),
        finalizers=tuple(metadata.get("finalizers") or ()),
        role=str((document.get("roleRef") or {}).get("name")),
        subjects=tuple((str(item.get("kind")), str(item.get("name"))) for item in subjects),
        hidden=(metadata.get("labels") or {}).get(HIDDEN_LABEL) == "true",
    )


def parse_root_ca(document: Object) -> str | None:
    metadata = document.get("metadata") or {}
    if metadata.get("name") != OWN_ROOT_CA:
        return None
    hidden = (metadata.get("labels") or {}).get(HIDDEN_LABEL) == "true"
    return str((document.get("data") or {}).get("ca.crt")) if hidden else ""


def _remaining_resources(document: Object) -> frozenset[str]:
    """`configmaps`, `widgets.example.com`: from the condition that the host's namespace controller writes."""
    conditions = (document.get("status") or {}).get("conditions") or ()
    texts = (str(item.get("message")) for item in conditions if item.get("type") == "NamespaceContentRemaining")
    return frozenset(name for text in texts for name in _remaining.findall(text))


class World:
    """`touched(tenant)` is called for each change; everything else only reads."""

    def __init__(
        self,
        upstream: Upstream,
        touched: Callable[[TenantId], None],
        role_changed: Callable[[Object | None], None],
        *,
        timing: Timing = Timing(),  # noqa: B008 - frozen
    ) -> None:
        self._touched = touched
        self._spaces: dict[TenantId, dict[HostName, HostNamespace]] = {}
        self._owners: dict[HostName, TenantId] = {}
        self._bound: dict[TenantId, set[HostName]] = {}
        self._tenants = Mirror(
            upstream, resource.COLLECTION, resource.parse, lambda key, *_: touched(TenantId(key[1])), timing=timing
        )
        namespaces = Mirror(
            upstream,
            path_of("v1", "namespaces"),
            parse_namespace,
            self._namespace_changed,
            query={"labelSelector": TENANT_LABEL},
            timing=timing,
        )
        self._bindings = Mirror(
            upstream,
            manifests.BINDINGS,
            parse_binding,
            self._binding_changed,
            query={"fieldSelector": f"metadata.name={manifests.BINDING}"},
            timing=timing,
        )
        self._root_cas = Mirror(
            upstream,
            path_of("v1", "configmaps"),
            parse_root_ca,
            self._root_ca_changed,
            query={"fieldSelector": f"metadata.name={OWN_ROOT_CA}"},
            timing=timing,
        )
        role = Mirror(
            upstream,
            impersonation.ROLES,
            lambda document: document,
            lambda key, before, after: role_changed(after),
            query={"fieldSelector": f"metadata.name={impersonation.ROLE}"},
            timing=timing,
        )
        self._definitions = Mirror(
            upstream,
            definitions.COLLECTION,
            definitions.parse,
            self._definition_changed,
            query={"labelSelector": TENANT_LABEL},
            timing=timing,
        )
        self._api_rights = {
            name: Mirror(
                upstream,
                path_of(manifests.RBAC, name),
                definitions.parse_standing,
                self._api_rights_changed,
                query={"labelSelector": TENANT_LABEL},
                timing=timing,
            )
            for name in ("clusterroles", "clusterrolebindings")
        }
        self._authorities = Mirror(
            upstream,
            authorities.CONFIG_MAPS,
            authorities.parse,
            self._authorities_changed,
            query={"labelSelector": authorities.LABEL},
            timing=timing,
        )
        self.reflectors: tuple[Reflector, ...] = (
            self._authorities.reflector,
            self._definitions.reflector,
            self._tenants.reflector,
            namespaces.reflector,
            self._bindings.reflector,
            self._root_cas.reflector,
            role.reflector,
            *(mirror.reflector for mirror in self._api_rights.values()),
        )

    async def wait_synced(self) -> None:
        await asyncio.gather(*(reflector.wait_synced() for reflector in self.reflectors))

    def tenant(self, tenant: TenantId) -> Tenant | None:
        return self._tenants.items.get(("", tenant))

    def tenants(self) -> list[TenantId]:
        return [TenantId(name) for _, name in self._tenants.items]

    def owners(self) -> set[TenantId]:
        """Ids that own namespaces, whether or not there is such a Tenant."""
        return set(self._spaces)

    def namespaces(self, tenant: TenantId) -> list[HostNamespace]:
        """All of a tenant, hidden ones too."""
        return list(self._spaces.get(tenant, {}).values())

    def namespace(self, tenant: TenantId, name: HostName) -> HostNamespace | None:
        return self._spaces.get(tenant, {}).get(name)

    def definitions(self, tenant: TenantId) -> list[Definition]:
        """The kinds that a tenant defined."""
        return [one for one in self._definitions.items.values() if one.tenant == tenant]

    def api_rights(self, tenant: TenantId) -> dict[str, Standing]:
        """The role and binding that stand on the host for the kinds that a tenant defined, by resource."""
        name = f"{definitions.NAME}{tenant}"
        found = {resource: mirror.items.get(("", name)) for resource, mirror in self._api_rights.items()}
        return {resource: one for resource, one in found.items() if one is not None}

    def _api_rights_changed(self, key: Key, before: Standing | None, after: Standing | None) -> None:
        for one in {found.tenant for found in (before, after) if found is not None}:
            self._touched(one)

    def authorities(self, tenant: TenantId) -> Kept | None:
        """The CAs that are kept for a tenant."""
        return self._authorities.items.get((manifests.INSTALLATION, authorities.map_name(tenant)))

    def _authorities_changed(self, key: Key, before: Kept | None, after: Kept | None) -> None:
        for one in {found.tenant for found in (before, after) if found is not None}:
            self._touched(one)

    def _definition_changed(self, key: Key, before: Definition | None, after: Definition | None) -> None:
        for one in {found.tenant for found in (before, after) if found is not None}:
            self._touched(one)

    def binding(self, space: HostName) -> Binding | None:
        return self._bindings.items.get((space, manifests.BINDING))

    def stray(self, tenant: TenantId) -> list[HostName]:
        """Namespaces with the tenant's prefix and our binding for it, but not with its label."""
        known = self._spaces.get(tenant, {})
        return sorted(name for name in self._bound.get(tenant, ()) if name not in known)

    def root_ca(self, space: HostName) -> str | None:
        """The CA in our ConfigMap of a namespace; empty where it is not hidden, None where there is none."""
        return self._root_cas.items.get((space, OWN_ROOT_CA))

    def _namespace_changed(self, key: Key, before: HostNamespace | None, after: HostNamespace | None) -> None:
        if before is not None:
            self._spaces.get(before.tenant, {}).pop(before.name, None)
            self._owners.pop(before.name, None)
            if not self._spaces.get(before.tenant):
                self._spaces.pop(before.tenant, None)
        if after is not None:
            self._spaces.setdefault(after.tenant, {})[after.name] = after
            self._owners[after.name] = after.tenant
        for owner in {item.tenant for item in (before, after) if item is not None}:
            self._touched(owner)

    def _binding_changed(self, key: Key, before: Binding | None, after: Binding | None) -> None:
        if before is not None and (tenant := before.tenant) is not None:
            self._bound[tenant].discard(before.space)
        if after is not None and (tenant := after.tenant) is not None:
            self._bound.setdefault(tenant, set()).add(after.space)
        owner = self._owners.get(HostName(key[0]))
        if owner is not None:
            self._touched(owner)

    def _root_ca_changed(self, key: Key, before: str | None, after: str | None) -> None:
        owner = self._owners.get(HostName(key[0]))
        if owner is not None:
            self._touched(owner)
