"""What every tenant stands on: its user, its own namespaces with their bindings, and the Service `kubernetes`.

Nothing is made before the tenant's prefix was found free. A namespace is taken only if its label names the tenant.
"""

from vcproxy.core.names import HostName, TenantId, host_user
from vcproxy.core.view import Phase
from vcproxy.tenants import manifests
from vcproxy.tenants.bindings import Bindings
from vcproxy.tenants.hostapi import HostApi, HostError, path_of
from vcproxy.tenants.impersonation import Impersonation
from vcproxy.tenants.manifests import Advertised
from vcproxy.tenants.owned import Owned, labelled
from vcproxy.tenants.resource import Tenant
from vcproxy.tenants.together import together
from vcproxy.tenants.world import World


class NameTakenError(Exception):
    """The host has something that is not the tenant's under its prefix; the message says what."""


class Foundation:
    """Lays it. `advertised` is where pods reach the proxy; without it there is no Service."""

    def __init__(
        self,
        api: HostApi,
        world: World,
        owned: Owned,
        bindings: Bindings,
        impersonation: Impersonation,
        advertised: Advertised | None,
    ) -> None:
        self._api = api
        self._world = world
        self._owned = owned
        self._bindings = bindings
        self._impersonation = impersonation
        self._advertised = advertised
        self._named: dict[TenantId, str] = {}

    def forget(self, tenant: TenantId) -> None:
        self._named.pop(tenant, None)

    def stands(self, tenant: TenantId) -> bool:
        """Whether all of the tenant's own namespaces are there."""
        return all(self._world.namespace(tenant, name) for name in manifests.own_namespaces(tenant))

    async def lay(self, tenant: Tenant) -> None:
        """Make what is missing. Raises NameTakenError, HostError."""
        checked = tenant.status.phase in (Phase.ACTIVE.value, Phase.SUSPENDED.value)
        if not checked and self._named.get(tenant.id) != tenant.uid:
            await self._check_name(tenant.id)
            self._named[tenant.id] = tenant.uid
        own = manifests.own_namespaces(tenant.id)
        await together(self._impersonation.ensure(host_user(tenant.id)), *(self._own(tenant, name) for name in own))
        if self._advertised is not None:
            for path, body in (
                manifests.service(tenant.id, self._advertised),
                manifests.endpoint_slice(tenant.id, self._advertised),
            ):
                await self._api.apply(path, body)

    async def _check_name(self, tenant: TenantId) -> None:
        """Raises NameTakenError if anything on the host that is not the tenant's begins with its prefix."""
        for names in await together(*(self._owned.foreign(kind, tenant) for kind in self._owned.kinds)):
            if names:
                raise NameTakenError(f"the host already has {', '.join(sorted(names)[:5])}: choose another name")

    async def _own(self, tenant: Tenant, name: HostName) -> None:
        """One of the namespaces that every tenant has, with its binding."""
        known = self._world.namespace(tenant.id, name)
        if known is None:
            await self._create(tenant, name)
        if known is None or self._world.binding(name) is None:
            await self._bindings.bind(tenant.id, name)

    async def _create(self, tenant: Tenant, name: HostName) -> None:
        try:
            await self._api.create(manifests.NAMESPACES, manifests.namespace(tenant.id, name, tenant.profile))
        except HostError as error:
            if error.reason != "AlreadyExists":
                raise
            found = await self._api.get(path_of("v1", "namespaces", name=name))
            if found is not None and not labelled(found.get("metadata") or {}, tenant.id):
                raise NameTakenError(f"the host already has namespaces/{name}: choose another name") from None
