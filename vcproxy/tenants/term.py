"""One time of leading: what the controller does for each Tenant while its replica holds the Lease.

Level-based: each look at a tenant compares what is with what should be and does what is missing, so a crash at any
point costs nothing but time. One look at a time for a tenant, several tenants side by side.

Order for a new tenant: finalizer, then the name is checked, then user, namespaces and their bindings at once, then the
Service `kubernetes`, then Active. For one that goes: Terminating, its namespaces, its other things, its tokens, its
user, and the finalizer last. A namespace is touched only if its label and its prefix both name the tenant.
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Final

from vcproxy.core.hosting import Upstream
from vcproxy.core.names import TenantId, host_user
from vcproxy.tenants import pods_webhook
from vcproxy.tenants.assessments import Assess, Assessments
from vcproxy.tenants.authorities import Authorities, Made
from vcproxy.tenants.bindings import Bindings
from vcproxy.tenants.definitions import DefinitionRights
from vcproxy.tenants.foundation import Foundation, NameTakenError
from vcproxy.tenants.healing import Healer
from vcproxy.tenants.hostapi import HostApi, HostError, KindPath, Object
from vcproxy.tenants.impersonation import Impersonation
from vcproxy.tenants.labels import Labels
from vcproxy.tenants.manifests import Advertised
from vcproxy.tenants.owned import CLUSTER_KINDS, Owned
from vcproxy.tenants.reflector import Timing
from vcproxy.tenants.removal import Removal
from vcproxy.tenants.resource import FINALIZER, Condition, Tenant
from vcproxy.tenants.root_certificates import RootCertificates
from vcproxy.tenants.telling import Telling
from vcproxy.tenants.volumes import Volumes
from vcproxy.tenants.workqueue import WorkQueue
from vcproxy.tenants.world import World

RESYNC: Final = 300.0
"""Seconds after which everything of a tenant is compared again."""
NAME_RETRY: Final = 15.0
"""Seconds after which a name that was taken is tried again."""


class Term:
    """What was seen before it counts for nothing. `installed`: what `vcproxy install` puts on the host."""

    def __init__(
        self,
        upstream: Upstream,
        *,
        kinds: Iterable[KindPath],
        cluster_kinds: Iterable[KindPath] = CLUSTER_KINDS,
        advertised: Advertised | None = None,
        installed: Iterable[Object] = (),
        ca: Callable[[], str] = str,
        review: Callable[[], Object] | None = None,
        authority: Callable[[TenantId], Made] | None = None,
        assess: Assess | None = None,
        parallel: int = 16,
        timing: Timing = Timing(),  # noqa: B008 - frozen
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._api = HostApi(upstream)
        self._clock = clock
        self._queue = WorkQueue(self.look, parallel=parallel)
        self._impersonation = Impersonation(self._api, lambda: map(host_user, self.world.tenants()))
        self.world = World(upstream, self._queue.add, self._impersonation.see, timing=timing)
        self._bindings = Bindings(self._api, self.world, kinds, clock=clock)
        self._definitions = DefinitionRights(self._api, self.world.api_rights)
        installed = tuple(installed)
        self._healer = Healer(upstream, installed, review=review, timing=timing) if installed else None
        self._volumes = Volumes(upstream, self._api, self.world, timing=timing)
        self._root_certificates = RootCertificates(self._api, self.world, ca)
        self._review = review
        self._authorities = Authorities(self._api, self.world.authorities, authority, now) if authority else None
        self._assessments = Assessments(assess, self.world.tenant, self._queue.add) if assess else None
        self._telling = Telling(self._api, self.world, self._others, clock, now)
        self._labels = Labels(self._api, self.world)
        owned = Owned(self._api, cluster_kinds)
        self._foundation = Foundation(self._api, self.world, owned, self._bindings, self._impersonation, advertised)
        self._removal = Removal(
            self._api,
            self.world,
            owned,
            self._bindings,
            self._definitions,
            self._authorities,
            self._impersonation,
            self._telling,
        )
        self._settled: dict[TenantId, tuple[str, int, float]] = {}

    async def run(self) -> None:
        """Works until cancelled."""
        async with asyncio.TaskGroup() as group:
            for reflector in (*self.world.reflectors, self._volumes.reflector):
                group.create_task(reflector.run(), name=f"controller {reflector.path}")
            if self._healer is not None:
                group.create_task(self._healer.run(), name="controller healing")
            await self.world.wait_synced()
            if self._review is not None:  # before any tenant is served: its first Pod must not slip through
                await pods_webhook.write(self._api, self._review)
                group.create_task(pods_webhook.keep(self._api, self._review), name="controller webhook")
            for tenant in {*self.world.tenants(), *self.world.owners()}:
                self._queue.add(tenant)
            group.create_task(self._queue.run(), name="controller queue")
            group.create_task(self._impersonation.keep(), name="controller impersonation")
            if self._assessments is not None:
                group.create_task(self._assessments.run(), name="controller authentication")
            group.create_task(self._volumes.run(), name="controller volumes")

    async def look(self, tenant: TenantId) -> float | None:
        """Do what is missing for one tenant; seconds until to look again, or None."""
        found = self.world.tenant(tenant)
        if found is None:
            self._settled.pop(tenant, None)
            self._foundation.forget(tenant)
            self._telling.forget(tenant)
            await self._bindings.abandon(tenant)
            return None
        if found.deleting:
            return await self._removal.remove(found)
        return await self._provide(found)

    async def _provide(self, tenant: Tenant) -> float | None:
        if FINALIZER not in tenant.finalizers:
            metadata = {"resourceVersion": tenant.resource_version, "finalizers": [*tenant.finalizers, FINALIZER]}
            await self._api.merge(tenant.path, {"metadata": metadata})
        await self._labels.restore(tenant)
        settled = self._is_settled(tenant)
        await self._definitions.keep(tenant.id, self.world.definitions(tenant.id), again=not settled)
        if not settled:
            try:
                await self._foundation.lay(tenant)
            except NameTakenError as error:
                await self._telling.tell_pending(tenant, "NameTaken", str(error))
                return NAME_RETRY
            except HostError as error:
                await self._telling.tell_failure(tenant, error)
                raise
            self._settled[tenant.id] = tenant.uid, tenant.generation, self._clock() + RESYNC
        await self._bindings.heal(tenant.id)
        await self._root_certificates.heal(tenant.id)
        await self._labels.keep(tenant)
        renewal = await self._authorities.keep(tenant) if self._authorities is not None else None
        waits = [RESYNC, renewal, await self._telling.tell(tenant), await self._bindings.release(tenant.id)]
        return min(wait for wait in waits if wait is not None)

    def _is_settled(self, tenant: Tenant) -> bool:
        uid, generation, until = self._settled.get(tenant.id, ("", 0, 0.0))
        if (uid, generation) != (tenant.uid, tenant.generation) or self._clock() >= until:
            return False
        return self._foundation.stands(tenant.id)

    def _others(self, tenant: Tenant) -> list[Condition]:
        """Conditions beside those of the tenant's cluster."""
        if self._assessments is None:
            return []
        problem = self._authorities.problem(tenant.id) if self._authorities is not None else ""
        found = self._assessments.condition(tenant, problem)
        return [] if found is None else [found]
