"""Marks on the host's PersistentVolumes: a label says whose claim each is bound to.

A tenant reads the volumes of its claims by that label: the host selects them, and what it costs grows with the tenant.
The volumes that a tenant made itself have their owner's label and are left alone.
"""

import asyncio
import logging
from typing import Any, Final

import msgspec

from vcproxy.core.hosting import Upstream
from vcproxy.core.names import BOUND_LABEL, TENANT_LABEL, HostName, TenantId
from vcproxy.core.status import ApiError
from vcproxy.tenants.hostapi import HostApi, HostError, Object, path_of
from vcproxy.tenants.mirror import Key, Mirror
from vcproxy.tenants.reflector import Reflector, Timing
from vcproxy.tenants.world import World

log = logging.getLogger(__name__)

COLLECTION: Final = path_of("v1", "persistentvolumes")
RETRY: Final = 2.0
"""Seconds after which a volume is looked at again that could not be marked, or whose namespace was not known."""
TRIES: Final = 5
"""How often a volume of an unknown namespace is looked at: after that the namespace is no tenant's."""


class Volume(msgspec.Struct, frozen=True):
    """A volume of the host: the namespace of its claim, and what our label says; "" where there is none."""

    namespace: str
    mark: str


def parse(document: Object) -> Volume:
    """A PersistentVolume of the host."""
    claim: dict[str, Any] = (document.get("spec") or {}).get("claimRef") or {}
    labels: dict[str, Any] = (document.get("metadata") or {}).get("labels") or {}
    return Volume(str(claim.get("namespace") or ""), str(labels.get(BOUND_LABEL) or ""))


class Volumes:
    """Keeps the marks right. `run` until cancelled, once the world is known."""

    def __init__(self, upstream: Upstream, api: HostApi, world: World, *, timing: Timing = Timing()) -> None:  # noqa: B008
        self._api = api
        self._world = world
        self._due: dict[str, int] = {}
        self._changed = asyncio.Event()
        query = {"labelSelector": f"!{TENANT_LABEL}"}
        self._mirror = Mirror(upstream, COLLECTION, parse, self._volume_changed, query=query, timing=timing)

    @property
    def reflector(self) -> Reflector:
        return self._mirror.reflector

    async def run(self) -> None:
        """Marks what has to be marked, and takes marks off that are wrong."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            due, self._due = self._due, {}
            again = {name: tries - 1 for name, tries in due.items() if not await self._done(name) and tries > 1}
            if again:
                asyncio.get_running_loop().call_later(RETRY, self._look_again, again)

    def _look_again(self, due: dict[str, int]) -> None:
        self._due = due | self._due
        self._changed.set()

    def _volume_changed(self, key: Key, before: Volume | None, after: Volume | None) -> None:
        if after is not None and (after.namespace or after.mark):
            self._due[key[1]] = TRIES
            self._changed.set()

    async def _done(self, name: str) -> bool:
        """Whether nothing is left to do for a volume."""
        found = self._mirror.items.get(("", name))
        if found is None:
            return True
        owner = self._owner(found.namespace)
        if owner == found.mark:
            return bool(owner) or not self._may_come(found.namespace)
        patch = {"metadata": {"labels": {BOUND_LABEL: owner or None}}}
        try:
            await self._api.merge(f"{COLLECTION}/{name}", patch)
        except (HostError, ApiError) as error:
            if isinstance(error, HostError) and error.code == 404:
                return True
            log.warning("the volume %s could not be marked: %s", name, error)
            return False
        return True

    def _may_come(self, namespace: str) -> bool:
        """Whether a namespace that nobody has told of has the prefix of a tenant."""
        return self._world.tenant(TenantId(namespace.partition("-")[0])) is not None

    def _owner(self, namespace: str) -> str:
        """Whose namespace it is by prefix and label; "" where it is nobody's."""
        tenant = TenantId(namespace.partition("-")[0])
        return tenant if self._world.namespace(tenant, HostName(namespace)) is not None else ""
