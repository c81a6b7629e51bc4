"""What a Tenant's status tells: written when it says something else than before, a mere count of namespaces seldom."""

from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from vcproxy.core.names import TenantId
from vcproxy.core.view import Phase
from vcproxy.tenants import births
from vcproxy.tenants.hostapi import HostApi, HostError
from vcproxy.tenants.resource import READY, Condition, Tenant, TenantStatus, status_of
from vcproxy.tenants.world import World

COUNT_PAUSE: Final = 0.5
"""Seconds for which changes of the mere namespace count are gathered into one write."""


class Telling:
    """Writes statuses. `others` gives conditions beside Ready and Suspended; `clock` is monotonic, `now` the time."""

    def __init__(
        self,
        api: HostApi,
        world: World,
        others: Callable[[Tenant], Iterable[Condition]],
        clock: Callable[[], float],
        now: Callable[[], float],
    ) -> None:
        self._api = api
        self._world = world
        self._others = others
        self._clock = clock
        self._now = now
        self._count_due: dict[TenantId, float] = {}

    def forget(self, tenant: TenantId) -> None:
        self._count_due.pop(tenant, None)

    async def tell(self, tenant: Tenant) -> float | None:
        """Write the status of a tenant that is there; seconds until to come back with the count, or None."""
        visible = [item for item in self._world.namespaces(tenant.id) if not item.hidden]
        phase = Phase.SUSPENDED if tenant.suspended else Phase.ACTIVE
        wanted = self._wanted(tenant, phase, Condition(READY, "True", "Provided", ""), len(visible))
        wanted = await births.noted(self._api, tenant, wanted)
        current = tenant.status
        if _same_but_count(wanted, current) and wanted.namespaces != current.namespaces:
            due = self._count_due.setdefault(tenant.id, self._clock() + COUNT_PAUSE)
            if self._clock() < due:
                return due - self._clock()
        self._count_due.pop(tenant.id, None)
        await self._write(tenant, wanted)
        return None

    async def tell_pending(self, tenant: Tenant, reason: str, message: str) -> None:
        """Say why a tenant does not come to be."""
        not_ready = Condition(READY, "False", reason, message)
        await self._write(tenant, self._wanted(tenant, Phase.PENDING, not_ready, 0))

    async def tell_failure(self, tenant: Tenant, error: HostError) -> None:
        """Say that the host refused; a tenant that was Active stays so, the log tells."""
        if tenant.status.phase in ("", Phase.PENDING.value):
            await self.tell_pending(tenant, "HostRefused", str(error))

    async def tell_deleting(self, tenant: Tenant, message: str, namespaces: int) -> None:
        """Say what still holds a tenant that goes."""
        not_ready = Condition(READY, "False", "Deleting", message)
        await self._write(tenant, self._wanted(tenant, Phase.TERMINATING, not_ready, namespaces))

    def _wanted(self, tenant: Tenant, phase: Phase, ready: Condition, namespaces: int) -> TenantStatus:
        return status_of(tenant, phase, ready, namespaces, self._now(), self._others(tenant))

    async def _write(self, tenant: Tenant, wanted: TenantStatus) -> None:
        if wanted != tenant.status:
            patch = {"metadata": {"uid": tenant.uid}, "status": wanted.document()}
            await self._api.merge(f"{tenant.path}/status", patch)


def _same_but_count(one: TenantStatus, other: TenantStatus) -> bool:
    return msgspec.structs.replace(one, namespaces=other.namespaces) == other
