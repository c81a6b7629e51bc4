"""A tenant that goes: its namespaces, its other things, its tokens, its CA, its user, and the finalizer last."""

from typing import Final

from vcproxy.core.names import TenantId, host_user, system_namespace
from vcproxy.tenants import manifests
from vcproxy.tenants.authorities import Authorities
from vcproxy.tenants.bindings import Bindings
from vcproxy.tenants.definitions import DefinitionRights
from vcproxy.tenants.hostapi import HostApi, HostError, path_of
from vcproxy.tenants.impersonation import Impersonation
from vcproxy.tenants.owned import NAMESPACES, Owned
from vcproxy.tenants.resource import FINALIZER, Tenant
from vcproxy.tenants.telling import Telling
from vcproxy.tenants.together import together
from vcproxy.tenants.world import World

REMOVAL_LOOK: Final = 1.0
"""Seconds between two looks at what is still being deleted."""


class Removal:
    """Takes tenants away, one step at a time."""

    def __init__(
        self,
        api: HostApi,
        world: World,
        owned: Owned,
        bindings: Bindings,
        definitions: DefinitionRights,
        authorities: Authorities | None,
        impersonation: Impersonation,
        telling: Telling,
    ) -> None:
        self._api = api
        self._world = world
        self._owned = owned
        self._bindings = bindings
        self._definitions = definitions
        self._authorities = authorities
        self._impersonation = impersonation
        self._telling = telling

    async def remove(self, tenant: Tenant) -> float | None:
        """Do what can be done now; seconds until to look again, None once it is gone. Raises HostError."""
        if FINALIZER not in tenant.finalizers:
            return None
        if await self._remove_namespaces(tenant):
            wait = await self._bindings.release(tenant.id, strip=True)
            return REMOVAL_LOOK if wait is None else min(wait, REMOVAL_LOOK)
        if await self._owned.delete_cluster_objects(tenant.id):
            return REMOVAL_LOOK
        await self._definitions.remove(tenant.id)
        await self._remove_tokens(tenant.id)
        if self._authorities is not None:
            await self._authorities.remove(tenant.id)
        await self._impersonation.remove(host_user(tenant.id))
        await self._let_go(self._world.tenant(tenant.id) or tenant)
        return None

    async def _remove_namespaces(self, tenant: Tenant) -> int:
        """Delete them, and let go what the tenant's definitions held; how many there were."""
        spaces = await self._owned.namespaces(tenant.id)
        message = f"{len(spaces)} namespaces are still being deleted" if spaces else ""
        visible = sum(metadata["name"] != system_namespace(tenant.id) for metadata in spaces)
        await self._telling.tell_deleting(tenant, message, visible)
        await together(*(self._owned.delete(NAMESPACES, metadata) for metadata in spaces))
        await self._definitions.strip(tenant.id, self._world.definitions(tenant.id))
        return len(spaces)

    async def _remove_tokens(self, tenant: TenantId) -> None:
        path = path_of("v1", "configmaps", manifests.INSTALLATION, f"tokens-{tenant}")
        found = await self._api.get(path)
        metadata = (found or {}).get("metadata") or {}
        if (metadata.get("labels") or {}).get(manifests.TOKENS_LABEL) == tenant:
            await self._api.delete(path, str(metadata.get("uid")))

    async def _let_go(self, tenant: Tenant) -> None:
        rest = [name for name in tenant.finalizers if name != FINALIZER]
        metadata = {"uid": tenant.uid, "resourceVersion": tenant.resource_version, "finalizers": rest}
        try:
            await self._api.merge(tenant.path, {"metadata": metadata})
        except HostError as error:
            if error.code != 404:
                raise
