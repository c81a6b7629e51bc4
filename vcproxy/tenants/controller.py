"""The controller: makes of each Tenant what its spec says, and removes what is a tenant's when it goes.

Runs behind a Lease under the controller's credential. Level-based: each look at a tenant compares what is with what
should be and does what is missing, so a crash at any point costs nothing but time. One look at a time for a tenant,
several tenants side by side.

Order for a new tenant: finalizer, then the name is checked, then user, namespaces and their bindings at once, then the
Service `kubernetes`, then Active. For one that goes: Terminating, its namespaces, its other things, its tokens, its
user, and the finalizer last. A namespace is touched only if its label and its prefix both name the tenant.
"""

import asyncio
import inspect
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import Any, Final, TypeVar

import msgspec

from vcproxy.core.hosting import Upstream
from vcproxy.core.names import TENANT_LABEL, HostName, TenantId, down, host_user, system_namespace
from vcproxy.core.status import ApiError
from vcproxy.core.view import Phase
from vcproxy.tenants import manifests
from vcproxy.tenants.bindings import SIDE_BY_SIDE, Bindings, KindPath
from vcproxy.tenants.hostapi import METADATA_LIST, HostApi, HostError, Object, path_of
from vcproxy.tenants.impersonation import Impersonation
from vcproxy.tenants.lease import Lease, LeaseTiming
from vcproxy.tenants.manifests import Advertised
from vcproxy.tenants.reflector import Timing
from vcproxy.tenants.resource import FINALIZER, READY, Condition, Tenant, TenantStatus, status_of
from vcproxy.tenants.workqueue import WorkQueue
from vcproxy.tenants.world import HostNamespace, World

log = logging.getLogger(__name__)

LEASE: Final = "vcproxy-controller"
TOKENS_LABEL: Final = "vcproxy.io/tokens"
RESYNC: Final = 300.0
"""Seconds after which everything of a tenant is compared again."""
NAME_RETRY: Final = 15.0
COUNT_PAUSE: Final = 0.5
"""Seconds for which changes of the mere namespace count are gathered into one write."""
REMOVAL_LOOK: Final = 1.0
RESTART: Final = 2.0

CLUSTER_KINDS: Final[tuple[KindPath, ...]] = (
    ("", "v1", "persistentvolumes"),
    ("apiextensions.k8s.io", "v1", "customresourcedefinitions"),
    ("networking.k8s.io", "v1", "ingressclasses"),
    ("node.k8s.io", "v1", "runtimeclasses"),
    ("scheduling.k8s.io", "v1", "priorityclasses"),
    ("storage.k8s.io", "v1", "csidrivers"),
    ("storage.k8s.io", "v1", "storageclasses"),
    ("storage.k8s.io", "v1", "volumeattachments"),
    ("storage.k8s.io", "v1", "volumeattributesclasses"),
)
"""Cluster-scoped kinds in which a tenant may own objects, and so in which its prefix must be free."""


T = TypeVar("T")


class NameTakenError(Exception):
    """The host has something that is not the tenant's under its prefix; the message says what."""


class Term:
    """One time of leading: what was seen before it counts for nothing."""

    def __init__(
        self,
        upstream: Upstream,
        *,
        kinds: Iterable[KindPath],
        cluster_kinds: Iterable[KindPath] = CLUSTER_KINDS,
        advertised: Advertised | None = None,
        parallel: int = 16,
        timing: Timing = Timing(),  # noqa: B008 - frozen
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._api = HostApi(upstream)
        self._cluster_kinds = tuple(cluster_kinds)
        self._advertised = advertised
        self._clock = clock
        self._now = now
        self._queue = WorkQueue(self.look, parallel=parallel)
        self._role: Object | None = None
        self._role_changed = asyncio.Event()
        self.world = World(upstream, self._queue.add, self._set_role, timing=timing)
        self._impersonation = Impersonation(self._api, lambda: map(host_user, self.world.tenants()))
        self._bindings = Bindings(self._api, self.world, kinds, clock=clock)
        self._settled: dict[TenantId, tuple[str, int, float]] = {}
        self._named: dict[TenantId, str] = {}
        self._count_due: dict[TenantId, float] = {}

    async def run(self) -> None:
        """Works until cancelled."""
        async with asyncio.TaskGroup() as group:
            for reflector in self.world.reflectors:
                group.create_task(reflector.run(), name=f"controller {reflector.path}")
            await self.world.wait_synced()
            for tenant in {*self.world.tenants(), *self.world.owners()}:
                self._queue.add(tenant)
            group.create_task(self._queue.run(), name="controller queue")
            group.create_task(self._keep_role(), name="controller impersonation")

    async def look(self, tenant: TenantId) -> float | None:
        """Do what is missing for one tenant; seconds until to look again, or None."""
        found = self.world.tenant(tenant)
        if found is None:
            for memory in (self._settled, self._named, self._count_due):
                memory.pop(tenant, None)
            await self._bindings.abandon(tenant)
            return None
        if found.deleting:
            return await self._remove(found)
        return await self._provide(found)

    # -- a tenant that is to be

    async def _provide(self, tenant: Tenant) -> float | None:
        if FINALIZER not in tenant.finalizers:
            metadata = {"resourceVersion": tenant.resource_version, "finalizers": [*tenant.finalizers, FINALIZER]}
            await self._api.merge(tenant.path, {"metadata": metadata})
        if not self._is_settled(tenant):
            try:
                await self._settle(tenant)
            except NameTakenError as error:
                await self._write(tenant, Phase.PENDING, Condition(READY, "False", "NameTaken", str(error)), 0)
                return NAME_RETRY
            except HostError as error:
                await self._tell_failure(tenant, error)
                raise
            self._settled[tenant.id] = tenant.uid, tenant.generation, self._clock() + RESYNC
        await self._bindings.heal(tenant.id)
        await self._label(tenant)
        waits = [RESYNC, await self._tell(tenant), await self._bindings.release(tenant.id)]
        return min(wait for wait in waits if wait is not None)

    def _is_settled(self, tenant: Tenant) -> bool:
        uid, generation, until = self._settled.get(tenant.id, ("", 0, 0.0))
        if (uid, generation) != (tenant.uid, tenant.generation) or self._clock() >= until:
            return False
        return all(self.world.namespace(tenant.id, name) for name in manifests.own_namespaces(tenant.id))

    async def _settle(self, tenant: Tenant) -> None:
        checked = tenant.status.phase in (Phase.ACTIVE.value, Phase.SUSPENDED.value)
        if not checked and self._named.get(tenant.id) != tenant.uid:
            await self._check_name(tenant.id)
            self._named[tenant.id] = tenant.uid
        own = manifests.own_namespaces(tenant.id)
        await _all(self._impersonation.ensure(host_user(tenant.id)), *(self._own(tenant, name) for name in own))
        if self._advertised is not None:
            for path, body in (
                manifests.service(tenant.id, self._advertised),
                manifests.endpoint_slice(tenant.id, self._advertised),
            ):
                await self._api.apply(path, body)

    async def _check_name(self, tenant: TenantId) -> None:
        """Raises NameTakenError if anything on the host that is not the tenant's begins with its prefix."""
        kinds = (("", "v1", "namespaces"), *self._cluster_kinds)
        for names in await _all(*(self._foreign(kind, tenant) for kind in kinds)):
            if names:
                raise NameTakenError(f"the host already has {', '.join(sorted(names)[:5])}: choose another name")

    async def _foreign(self, kind: KindPath, tenant: TenantId) -> list[str]:
        found = await self._metadata(kind, {})
        return [
            f"{kind[2]}/{metadata['name']}"
            for metadata in found
            if _owned_name(kind, metadata).startswith(f"{tenant}-") and not _labelled(metadata, tenant)
        ]

    async def _own(self, tenant: Tenant, name: HostName) -> None:
        """One of the namespaces that every tenant has, with its binding."""
        known = self.world.namespace(tenant.id, name)
        if known is None:
            await self._create(tenant, name)
        if known is None or self.world.binding(name) is None:
            await self._bindings.bind(tenant.id, name)

    async def _label(self, tenant: Tenant) -> None:
        """Put the profile on every namespace: the host's admission policies read it there, and take none for hard."""
        spaces = self.world.namespaces(tenant.id)
        odd = [space for space in spaces if space.profile != tenant.profile and not space.terminating]
        await _all(*(self._set_profile(space, tenant.profile) for space in odd))

    async def _set_profile(self, space: HostNamespace, profile: str) -> None:
        patch = {"metadata": {"uid": space.uid, "labels": {manifests.PROFILE_LABEL: profile}}}
        try:
            await self._api.merge(path_of("v1", "namespaces", name=space.name), patch)
        except HostError as error:
            if error.code not in (404, 409):  # gone, or made anew: its event comes
                raise

    async def _create(self, tenant: Tenant, name: HostName) -> None:
        try:
            await self._api.create(manifests.NAMESPACES, manifests.namespace(tenant.id, name, tenant.profile))
        except HostError as error:
            if error.reason != "AlreadyExists":
                raise
            found = await self._api.get(path_of("v1", "namespaces", name=name))
            if found is not None and not _labelled(found.get("metadata") or {}, tenant.id):
                raise NameTakenError(f"the host already has namespaces/{name}: choose another name") from None

    # -- a tenant that is to go

    async def _remove(self, tenant: Tenant) -> float | None:
        if FINALIZER not in tenant.finalizers:
            return None
        spaces = await self._metadata(("", "v1", "namespaces"), _owned_by(tenant.id))
        spaces = [metadata for metadata in spaces if _is_own(metadata, tenant.id)]
        message = f"{len(spaces)} namespaces are still being deleted" if spaces else ""
        visible = sum(metadata["name"] != system_namespace(tenant.id) for metadata in spaces)
        await self._write(tenant, Phase.TERMINATING, Condition(READY, "False", "Deleting", message), visible)
        await _all(*(self._delete(("", "v1", "namespaces"), metadata) for metadata in spaces))
        if spaces:
            wait = await self._bindings.release(tenant.id, strip=True)
            return REMOVAL_LOOK if wait is None else min(wait, REMOVAL_LOOK)
        if await self._remove_cluster_objects(tenant.id):
            return REMOVAL_LOOK
        await self._remove_tokens(tenant.id)
        await self._impersonation.remove(host_user(tenant.id))
        await self._let_go(self.world.tenant(tenant.id) or tenant)
        return None

    async def _let_go(self, tenant: Tenant) -> None:
        rest = [name for name in tenant.finalizers if name != FINALIZER]
        metadata = {"uid": tenant.uid, "resourceVersion": tenant.resource_version, "finalizers": rest}
        try:
            await self._api.merge(tenant.path, {"metadata": metadata})
        except HostError as error:
            if error.code != 404:
                raise

    async def _remove_cluster_objects(self, tenant: TenantId) -> int:
        """Delete what the tenant owns at cluster scope; how much of it there was."""
        count = 0
        for kind in self._cluster_kinds:
            for metadata in await self._metadata(kind, _owned_by(tenant)):
                if _owned_name(kind, metadata).startswith(f"{tenant}-"):
                    await self._delete(kind, metadata)
                    count += 1
        return count

    async def _remove_tokens(self, tenant: TenantId) -> None:
        path = path_of("v1", "configmaps", manifests.INSTALLATION, f"tokens-{tenant}")
        found = await self._api.get(path)
        metadata = (found or {}).get("metadata") or {}
        if (metadata.get("labels") or {}).get(TOKENS_LABEL) == tenant:
            await self._api.delete(path, str(metadata.get("uid")))

    async def _delete(self, kind: KindPath, metadata: Mapping[str, object]) -> None:
        if not metadata.get("deletionTimestamp"):
            group, version, name = kind
            whole = f"{group}/{version}" if group else version
            await self._api.delete(path_of(whole, name, name=str(metadata["name"])), str(metadata.get("uid")))

    async def _metadata(self, kind: KindPath, query: Mapping[str, str]) -> list[Object]:
        """The metadata of all objects of a kind; none where the host does not serve it."""
        group, version, name = kind
        path = path_of(f"{group}/{version}" if group else version, name)
        try:
            return [item.get("metadata") or {} async for item in self._api.items(path, query, METADATA_LIST)]
        except HostError as error:
            if error.code != 404:
                raise
            return []

    # -- what the tenant's status tells

    async def _tell(self, tenant: Tenant) -> float | None:
        """Write the status of a tenant that is there; seconds until to come back with the count, or None."""
        visible = [item for item in self.world.namespaces(tenant.id) if not item.hidden]
        phase = Phase.SUSPENDED if tenant.suspended else Phase.ACTIVE
        ready = Condition(READY, "True", "Provided", "")
        wanted = status_of(tenant, phase, ready, len(visible), self._now())
        current = tenant.status
        if _same_but_count(wanted, current) and wanted.namespaces != current.namespaces:
            due = self._count_due.setdefault(tenant.id, self._clock() + COUNT_PAUSE)
            if self._clock() < due:
                return due - self._clock()
        self._count_due.pop(tenant.id, None)
        await self._write(tenant, phase, ready, len(visible))
        return None

    async def _tell_failure(self, tenant: Tenant, error: HostError) -> None:
        """Say why a tenant does not come to be; one that was Active stays so, the log tells."""
        if tenant.status.phase in ("", Phase.PENDING.value):
            await self._write(tenant, Phase.PENDING, Condition(READY, "False", "HostRefused", str(error)), 0)

    async def _write(self, tenant: Tenant, phase: Phase, ready: Condition, namespaces: int) -> None:
        wanted = status_of(tenant, phase, ready, namespaces, self._now())
        if wanted != tenant.status:
            patch = {"metadata": {"uid": tenant.uid}, "status": wanted.document()}
            await self._api.merge(f"{tenant.path}/status", patch)

    # -- the list of users that the proxy may impersonate

    def _set_role(self, role: Object | None) -> None:
        self._role = role
        self._role_changed.set()

    async def _keep_role(self) -> None:
        """Heal the role when somebody wrote it anew (an installation does)."""
        while True:
            await self._role_changed.wait()
            self._role_changed.clear()
            if self._impersonation.differs(self._role):
                try:
                    await self._impersonation.flush()
                except (HostError, ApiError) as error:
                    log.warning("impersonation: %s", error)
                    await asyncio.sleep(1.0)
                    self._role_changed.set()


class Controller:
    """Candidate for the Lease; while it leads, one Term works."""

    def __init__(
        self,
        upstream: Upstream,
        *,
        identity: str,
        kinds: Iterable[KindPath],
        cluster_kinds: Iterable[KindPath] = CLUSTER_KINDS,
        advertised: Advertised | None = None,
        parallel: int = 16,
        lease_timing: LeaseTiming = LeaseTiming(),  # noqa: B008 - frozen
        timing: Timing = Timing(),  # noqa: B008 - frozen
    ) -> None:
        api = HostApi(upstream, timeout=5.0)
        self._lease = Lease(api, manifests.INSTALLATION, LEASE, identity, timing=lease_timing)
        kinds, cluster_kinds = tuple(kinds), tuple(cluster_kinds)
        self._make = partial(
            Term,
            upstream,
            kinds=kinds,
            cluster_kinds=cluster_kinds,
            advertised=advertised,
            parallel=parallel,
            timing=timing,
        )

    @property
    def leading(self) -> bool:
        return self._lease.leading

    async def run(self) -> None:
        """Runs until cancelled; gives the Lease back at the end. What goes wrong is told in full, and tried again."""
        while True:
            try:
                await self._lease.lead(lambda: self._make().run())
            except Exception:  # the proxy serves on while its controller starts anew
                log.exception("the controller starts again in %.0f s", RESTART)
            await asyncio.sleep(RESTART)


def _labelled(metadata: Mapping[str, Any], tenant: TenantId) -> bool:
    return (metadata.get("labels") or {}).get(TENANT_LABEL) == tenant


def _is_own(metadata: Mapping[str, Any], tenant: TenantId) -> bool:
    """Whether label and prefix both say so."""
    return _labelled(metadata, tenant) and down(tenant, HostName(str(metadata.get("name")))) is not None


def _owned_by(tenant: TenantId) -> dict[str, str]:
    return {"labelSelector": f"{TENANT_LABEL}={tenant}"}


def _owned_name(kind: KindPath, metadata: Mapping[str, Any]) -> str:
    """What carries the prefix: the name, and of a CustomResourceDefinition the group behind its plural."""
    name = str(metadata.get("name"))
    return name.partition(".")[2] if kind[2] == "customresourcedefinitions" else name


def _same_but_count(one: TenantStatus, other: TenantStatus) -> bool:
    return msgspec.structs.replace(one, namespaces=other.namespaces) == other


async def _all(*work: Awaitable[T]) -> list[T]:
    """The results of all, some side by side. The first failure is raised once none is running any more."""
    slots = asyncio.Semaphore(SIDE_BY_SIDE)

    async def one(item: Awaitable[T]) -> T:
        async with slots:
            return await item

    try:
        results = await asyncio.gather(*map(one, work), return_exceptions=True)
    finally:  # who is cancelled leaves nothing behind that never began
        for item in work:
            if inspect.iscoroutine(item) and inspect.getcoroutinestate(item) == inspect.CORO_CREATED:
                item.close()
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return [result for result in results if not isinstance(result, BaseException)]
