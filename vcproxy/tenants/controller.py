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

from vcproxy.core.hosting import Upstream
from vcproxy.core.names import TENANT_LABEL, HostName, TenantId, down, host_user, system_namespace
from vcproxy.core.status import ApiError
from vcproxy.core.view import Phase
from vcproxy.tenants import manifests, pods_webhook
from vcproxy.tenants.assessments import Assess, Assessments
from vcproxy.tenants.authorities import Authorities, Made
from vcproxy.tenants.bindings import SIDE_BY_SIDE, Bindings, KindPath
from vcproxy.tenants.definitions import DefinitionRights
from vcproxy.tenants.healing import Healer
from vcproxy.tenants.hostapi import METADATA_LIST, HostApi, HostError, Object, path_of
from vcproxy.tenants.impersonation import Impersonation
from vcproxy.tenants.lease import Lease, LeaseTiming
from vcproxy.tenants.manifests import Advertised
from vcproxy.tenants.reflector import Timing
from vcproxy.tenants.resource import FINALIZER, Condition, Tenant
from vcproxy.tenants.root_certificates import RootCertificates
from vcproxy.tenants.telling import Telling
from vcproxy.tenants.volumes import Volumes
from vcproxy.tenants.workqueue import WorkQueue
from vcproxy.tenants.world import World

log = logging.getLogger(__name__)

LEASE: Final = "vcproxy-controller"
TOKENS_LABEL: Final = "vcproxy.io/tokens"
RESYNC: Final = 300.0
"""Seconds after which everything of a tenant is compared again."""
NAME_RETRY: Final = 15.0
REMOVAL_LOOK: Final = 1.0
RESTART: Final = 2.0

CLUSTER_KINDS: Final[tuple[KindPath, ...]] = (
    ("", "v1", "persistentvolumes"),
    ("apiextensions.k8s.io", "v1", "customresourcedefinitions"),
    ("networking.k8s.io", "v1", "ingressclasses"),
    ("node.k8s.io", "v1", "runtimeclasses"),
    ("resource.k8s.io", "v1", "deviceclasses"),
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
        self._cluster_kinds = tuple(cluster_kinds)
        self._advertised = advertised
        self._clock = clock
        self._queue = WorkQueue(self.look, parallel=parallel)
        self._role: Object | None = None
        self._role_changed = asyncio.Event()
        self.world = World(upstream, self._queue.add, self._set_role, timing=timing)
        self._impersonation = Impersonation(self._api, lambda: map(host_user, self.world.tenants()))
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
        self._settled: dict[TenantId, tuple[str, int, float]] = {}
        self._named: dict[TenantId, str] = {}

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
            group.create_task(self._keep_role(), name="controller impersonation")
            if self._assessments is not None:
                group.create_task(self._assessments.run(), name="controller authentication")
            group.create_task(self._volumes.run(), name="controller volumes")

    async def look(self, tenant: TenantId) -> float | None:
        """Do what is missing for one tenant; seconds until to look again, or None."""
        found = self.world.tenant(tenant)
        if found is None:
            for memory in (self._settled, self._named):
                memory.pop(tenant, None)
            self._telling.forget(tenant)
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
        await self._relabel(tenant)
        settled = self._is_settled(tenant)
        await self._definitions.keep(tenant.id, self.world.definitions(tenant.id), again=not settled)
        if not settled:
            try:
                await self._settle(tenant)
            except NameTakenError as error:
                await self._telling.tell_pending(tenant, "NameTaken", str(error))
                return NAME_RETRY
            except HostError as error:
                await self._telling.tell_failure(tenant, error)
                raise
            self._settled[tenant.id] = tenant.uid, tenant.generation, self._clock() + RESYNC
        await self._bindings.heal(tenant.id)
        await self._root_certificates.heal(tenant.id)
        await self._label(tenant)
        renewal = await self._authorities.keep(tenant) if self._authorities is not None else None
        waits = [RESYNC, renewal, await self._telling.tell(tenant), await self._bindings.release(tenant.id)]
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

    async def _relabel(self, tenant: Tenant) -> None:
        """Put the owner's label back on namespaces that lost it: our binding in them proves whose they are."""
        for name in self.world.stray(tenant.id):
            found = await self._api.get(path_of("v1", "namespaces", name=name))
            metadata = (found or {}).get("metadata") or {}
            if found is None or _labelled(metadata, tenant.id):
                continue  # gone, or the news of it comes
            log.warning("namespace %s had lost its owner's label", name)
            await self._set_labels(name, str(metadata.get("uid")), _labels(tenant, name))

    async def _label(self, tenant: Tenant) -> None:
        """Put the profile on every namespace: the host's admission policies read it there, and take none for hard."""
        system = system_namespace(tenant.id)
        spaces = [space for space in self.world.namespaces(tenant.id) if not space.terminating]
        odd = [one for one in spaces if one.profile != tenant.profile or (one.name == system and not one.hidden)]
        wanted = {
            one.name: manifests.namespace(tenant.id, one.name, tenant.profile)["metadata"]["labels"] for one in odd
        }
        await _all(*(self._set_labels(one.name, one.uid, wanted[one.name]) for one in odd))

    async def _set_labels(self, name: HostName, uid: str, labels: Mapping[str, str]) -> None:
        patch = {"metadata": {"uid": uid, "labels": dict(labels)}}
        try:
            await self._api.merge(path_of("v1", "namespaces", name=name), patch)
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
        await self._telling.tell_deleting(tenant, message, visible)
        await _all(*(self._delete(("", "v1", "namespaces"), metadata) for metadata in spaces))
        await self._definitions.strip(tenant.id, self.world.definitions(tenant.id))
        if spaces:
            wait = await self._bindings.release(tenant.id, strip=True)
            return REMOVAL_LOOK if wait is None else min(wait, REMOVAL_LOOK)
        if await self._remove_cluster_objects(tenant.id):
            return REMOVAL_LOOK
        await self._definitions.remove(tenant.id)
        await self._remove_tokens(tenant.id)
        if self._authorities is not None:
            await self._authorities.remove(tenant.id)
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

    def _others(self, tenant: Tenant) -> list[Condition]:
        """Conditions beside those of the tenant's cluster."""
        if self._assessments is None:
            return []
        problem = self._authorities.problem(tenant.id) if self._authorities is not None else ""
        found = self._assessments.condition(tenant, problem)
        return [] if found is None else [found]

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
    """Candidate for the Lease; while it leads, one Term works. `installed`: what `vcproxy install` puts on the host."""

    def __init__(
        self,
        upstream: Upstream,
        *,
        identity: str,
        kinds: Iterable[KindPath],
        cluster_kinds: Iterable[KindPath] = CLUSTER_KINDS,
        advertised: Advertised | None = None,
        installed: Iterable[Object] = (),
        ca: Callable[[], str] = str,
        review: Callable[[], Object] | None = None,
        authority: Callable[[TenantId], Made] | None = None,
        assess: Assess | None = None,
        parallel: int = 16,
        lease_timing: LeaseTiming = LeaseTiming(),  # noqa: B008 - frozen
        timing: Timing = Timing(),  # noqa: B008 - frozen
    ) -> None:
        api = HostApi(upstream, timeout=5.0)
        self._lease = Lease(api, manifests.INSTALLATION, LEASE, identity, timing=lease_timing)
        kinds, cluster_kinds, installed = tuple(kinds), tuple(cluster_kinds), tuple(installed)
        self._make = partial(
            Term,
            upstream,
            kinds=kinds,
            cluster_kinds=cluster_kinds,
            advertised=advertised,
            installed=installed,
            ca=ca,
            review=review,
            authority=authority,
            assess=assess,
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


def _labels(tenant: Tenant, name: HostName) -> dict[str, str]:
    """What stands on a namespace of a tenant."""
    return dict(manifests.namespace(tenant.id, name, tenant.profile)["metadata"]["labels"])


def _owned_by(tenant: TenantId) -> dict[str, str]:
    return {"labelSelector": f"{TENANT_LABEL}={tenant}"}


def _owned_name(kind: KindPath, metadata: Mapping[str, Any]) -> str:
    """What carries the prefix: the name, and of a CustomResourceDefinition the group behind its plural."""
    name = str(metadata.get("name"))
    return name.partition(".")[2] if kind[2] == "customresourcedefinitions" else name


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
