"""The labels of a tenant's namespaces: whose they are and which profile counts. The host's admission reads them."""

import logging
from collections.abc import Mapping

from vcproxy.core.names import HostName, system_namespace
from vcproxy.tenants import manifests
from vcproxy.tenants.hostapi import HostApi, HostError, path_of
from vcproxy.tenants.owned import labelled
from vcproxy.tenants.resource import Tenant
from vcproxy.tenants.together import together
from vcproxy.tenants.world import World

log = logging.getLogger(__name__)


class Labels:
    """Keeps them. Raises HostError."""

    def __init__(self, api: HostApi, world: World) -> None:
        self._api = api
        self._world = world

    async def restore(self, tenant: Tenant) -> None:
        """Put the owner's label back on namespaces that lost it: our binding in them proves whose they are."""
        for name in self._world.stray(tenant.id):
            found = await self._api.get(path_of("v1", "namespaces", name=name))
            metadata = (found or {}).get("metadata") or {}
            if found is None or labelled(metadata, tenant.id):
                continue  # gone, or the news of it comes
            log.warning("namespace %s had lost its owner's label", name)
            await self._set(name, str(metadata.get("uid")), _wanted(tenant, name))

    async def keep(self, tenant: Tenant) -> None:
        """Put the profile on every namespace: the host's admission policies read it there, and take none for hard."""
        system = system_namespace(tenant.id)
        spaces = [space for space in self._world.namespaces(tenant.id) if not space.terminating]
        odd = [one for one in spaces if one.profile != tenant.profile or (one.name == system and not one.hidden)]
        await together(*(self._set(one.name, one.uid, _wanted(tenant, one.name)) for one in odd))

    async def _set(self, name: HostName, uid: str, labels: Mapping[str, str]) -> None:
        patch = {"metadata": {"uid": uid, "labels": dict(labels)}}
        try:
            await self._api.merge(path_of("v1", "namespaces", name=name), patch)
        except HostError as error:
            if error.code not in (404, 409):  # gone, or made anew: its event comes
                raise


def _wanted(tenant: Tenant, name: HostName) -> Mapping[str, str]:
    """What stands on a namespace of a tenant."""
    found: Mapping[str, str] = manifests.namespace(tenant.id, name, tenant.profile)["metadata"]["labels"]
    return found
