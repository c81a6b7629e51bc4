"""The RoleBinding of each tenant namespace: made with the namespace, healed while it lives, gone last.

While the namespace ends, the binding is held by a finalizer so that the tenant can still finish what it must (remove
its own finalizers, read logs of pods that have time left). The host's namespace controller starts five seconds after
a deletion, and waits long when it finds something held: so the finalizer goes at once where nothing needs the tenant.
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from vcproxy.core.names import HostName, TenantId
from vcproxy.tenants import manifests
from vcproxy.tenants.hostapi import METADATA_LIST, HostApi, HostError, KindPath, Object, collection_of
from vcproxy.tenants.together import SIDE_BY_SIDE
from vcproxy.tenants.world import Binding, HostNamespace, World

HOST_FINALIZERS: Final = frozenset(
    {
        "batch.kubernetes.io/job-tracking",
        "foregroundDeletion",
        "kubernetes",
        "kubernetes.io/pvc-protection",
        "orphan",
        "service.kubernetes.io/load-balancer-cleanup",
        manifests.LAST_FINALIZER,
    }
)
"""Finalizers that the host's own controllers take off: no tenant is needed for them."""
SECRETS: Final = ("", "secrets")
"""The controller may read them only where it is bound as well: in a namespace that ends. None stand in the system's."""
FIRST_LOOK: Final = 0.5
LONGEST_LOOK: Final = 5.0


class Held(msgspec.Struct, frozen=True):
    """An object that keeps a namespace from ending."""

    path: str
    uid: str
    resource_version: str
    kept: tuple[str, ...]
    foreign: tuple[str, ...]


class Bindings:
    """Makes, heals and releases RoleBindings. `kinds` are the Namespaced kinds that tenants have."""

    def __init__(
        self,
        api: HostApi,
        world: World,
        kinds: Iterable[KindPath],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._api = api
        self._world = world
        self._kinds = tuple(kinds)
        self._resources = frozenset(f"{name}.{group}" if group else name for group, _, name in self._kinds)
        self._clock = clock
        self._looks: dict[str, tuple[float, float]] = {}

    async def bind(self, tenant: TenantId, space: HostName) -> None:
        """Give the tenant its rights in a namespace. One that is gone or going is left alone."""
        known = self._world.binding(space)
        if known is not None and (known.deleting or known.role != manifests.role_of(tenant, space)):
            await self._remove(known)
        try:
            await self._api.apply(manifests.binding_path(space), manifests.binding(tenant, space))
        except HostError as error:
            if not error.ending:
                raise

    async def heal(self, tenant: TenantId) -> None:
        """Bind every live namespace of a tenant whose binding is missing or not as it should be."""
        wrong = [space.name for space in self._world.namespaces(tenant) if self._wrong(tenant, space)]
        for start in range(0, len(wrong), SIDE_BY_SIDE):
            await asyncio.gather(*(self.bind(tenant, name) for name in wrong[start : start + SIDE_BY_SIDE]))

    def _wrong(self, tenant: TenantId, space: HostNamespace) -> bool:
        known = self._world.binding(space.name)
        return not space.terminating and (known is None or not known.right_for(tenant))

    async def release(self, tenant: TenantId, *, strip: bool = False) -> float | None:
        """Let the bindings of ending namespaces go where nothing needs them; seconds until to look again, or None.

        With `strip` (the tenant itself is being deleted) foreign finalizers are taken off, since nobody else may.
        """
        ending = [space for space in self._world.namespaces(tenant) if space.terminating]
        self._forget(tenant, ending)
        waits = [wait for space in ending if (wait := await self._release(space, strip)) is not None]
        return min(waits, default=None)

    async def abandon(self, tenant: TenantId) -> None:
        """Release the bindings of ending namespaces whose tenant is no more: nobody can need them."""
        for space in self._world.namespaces(tenant):
            known = self._world.binding(space.name)
            if space.terminating and known is not None and known.held:
                await self._drop(known)

    def _forget(self, tenant: TenantId, ending: list[HostNamespace]) -> None:
        if not ending:
            for key in [key for key in self._looks if key.startswith(f"{tenant}-")]:
                del self._looks[key]

    async def _release(self, space: HostNamespace, strip: bool) -> float | None:
        known = self._world.binding(space.name)
        if (known is None or not known.held) and not strip:
            return None
        now = self._clock()
        due, pause = self._looks.get(space.name, (now, FIRST_LOOK))
        if now < due:
            return due - now
        self._looks[space.name] = now + pause, min(pause * 2, LONGEST_LOOK)
        if await self._needed(space, known, strip):
            return pause
        if known is not None and known.held:
            await self._drop(known)
        return LONGEST_LOOK if strip else None

    async def _needed(self, space: HostNamespace, known: Binding | None, strip: bool) -> bool:
        if not strip and space.remaining - self._resources - {f"rolebindings.{manifests.RBAC_GROUP}"}:
            return True  # the host tells of kinds that cannot be listed here
        try:
            held = await self._held(space.name)
            if strip:
                await self._strip(held)
        except HostError as error:
            if error.code != 403:
                raise
            if known is None or not known.held:
                return False  # the rights here are gone, and so is what they were needed for
            if not await self._widen(space.tenant, known):
                raise
            return True
        return bool(held) and not strip

    async def _held(self, space: HostName) -> list[Held]:
        """Every pod, and every object with a finalizer that none of the host's own controllers takes off."""
        slots = asyncio.Semaphore(SIDE_BY_SIDE)

        async def of(kind: KindPath) -> list[Held]:
            async with slots:
                return await self._held_of(space, kind)

        hidden = manifests.is_system(space)
        kinds = [kind for kind in self._kinds if not hidden or (kind[0], kind[2]) != SECRETS]
        return [item for found in await asyncio.gather(*map(of, kinds)) for item in found]

    async def _held_of(self, space: HostName, kind: KindPath) -> list[Held]:
        group, _, name = kind
        found: list[Held] = []
        try:
            async for item in self._api.items(collection_of(kind, space), accept=METADATA_LIST):
                held = _held(item, collection_of(kind, space, str(item.get("metadata", {}).get("name"))))
                if held.foreign or (group, name) == ("", "pods"):
                    found.append(held)
        except HostError as error:
            if error.code != 404:  # a kind that this host does not serve
                raise
        return found

    async def _strip(self, held: list[Held]) -> None:
        for item in held:
            if item.foreign:
                precondition = {"uid": item.uid, "resourceVersion": item.resource_version}
                await self._merge(item.path, {"metadata": {**precondition, "finalizers": list(item.kept)}})

    async def _widen(self, tenant: TenantId, known: Binding) -> bool:
        """Bind the controller too, in this ending namespace; False if that was done before."""
        subject = manifests.controller_subject()
        if ("ServiceAccount", subject["name"]) in known.subjects:
            return False
        subjects = [manifests.tenant_subject(tenant), subject]
        patch = {"metadata": {"resourceVersion": known.resource_version}, "subjects": subjects}
        await self._merge(manifests.binding_path(known.space), patch)
        return True

    async def _remove(self, known: Binding) -> None:
        await self._api.delete(manifests.binding_path(known.space), known.uid)
        if known.held:
            await self._drop(msgspec.structs.replace(known, resource_version=""))

    async def _drop(self, known: Binding) -> None:
        """Take our finalizer off."""
        rest = [name for name in known.finalizers if name != manifests.LAST_FINALIZER]
        metadata: Object = {"uid": known.uid, "finalizers": rest}
        if known.resource_version:
            metadata["resourceVersion"] = known.resource_version
        await self._merge(manifests.binding_path(known.space), {"metadata": metadata})

    async def _merge(self, path: str, patch: Object) -> None:
        try:
            await self._api.merge(path, patch)
        except HostError as error:
            if error.code != 404:
                raise


def _held(item: Object, path: str) -> Held:
    metadata = item.get("metadata") or {}
    finalizers = tuple(metadata.get("finalizers") or ())
    return Held(
        path,
        str(metadata.get("uid")),
        str(metadata.get("resourceVersion")),
        tuple(name for name in finalizers if name in HOST_FINALIZERS),
        tuple(name for name in finalizers if name not in HOST_FINALIZERS),
    )
