"""The ConfigMap with the proxy's CA in each namespace of a tenant: pods mount it where they wrote kube-root-ca.crt.

The host's own publisher heals kube-root-ca.crt, so that one cannot hold another CA.
"""

import asyncio
from collections.abc import Callable

from vcproxy.core.names import HostName, TenantId
from vcproxy.tenants import manifests
from vcproxy.tenants.hostapi import HostApi, HostError
from vcproxy.tenants.together import SIDE_BY_SIDE
from vcproxy.tenants.world import World


class RootCertificates:
    """Makes and heals them. `ca` gives the PEM text as it is now, empty while it is not known."""

    def __init__(self, api: HostApi, world: World, ca: Callable[[], str]) -> None:
        self._api = api
        self._world = world
        self._ca = ca

    async def heal(self, tenant: TenantId) -> None:
        """Write the ConfigMap in every live namespace where it is missing or differs."""
        if not (ca := self._ca()):
            return
        live = [space.name for space in self._world.namespaces(tenant) if not space.terminating and not space.hidden]
        wrong = [name for name in live if self._world.root_ca(name) != ca]
        for start in range(0, len(wrong), SIDE_BY_SIDE):
            await asyncio.gather(*(self._write(name, ca) for name in wrong[start : start + SIDE_BY_SIDE]))

    async def _write(self, space: HostName, ca: str) -> None:
        try:
            await self._api.apply(*manifests.root_ca(space, ca))
        except HostError as error:
            if not error.ending:
                raise
