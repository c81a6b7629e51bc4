"""One leader among the replicas, by a Lease of the host (coordination.k8s.io/v1), in the manner of client-go.

Written here because kubernetes-asyncio's election (36.1) writes local time with a Z behind it, has no deadline on its
requests (a hung renewal leaves two leaders), lets connection errors escape while the work runs on, and never gives the
Lease back at the end. The clocks of two machines are never compared: a Lease is free when its text has not changed for
its duration by our own clock.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from vcproxy.core.status import ApiError
from vcproxy.tenants.hostapi import HostApi, HostError, Object, path_of

log = logging.getLogger(__name__)

VERSION: Final = "coordination.k8s.io/v1"


class LeaseTiming(msgspec.Struct, frozen=True):
    """Seconds: how long others wait for a silent leader, when a leader gives up, how often it renews."""

    duration: float = 15.0
    renew: float = 10.0
    retry: float = 2.0


class Lease:
    """A candidate. `lead` runs work while this candidate holds the Lease, and again whenever it gets it back."""

    def __init__(
        self,
        api: HostApi,
        namespace: str,
        name: str,
        identity: str,
        *,
        timing: LeaseTiming = LeaseTiming(),  # noqa: B008 - frozen
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._api = api
        self._collection = path_of(VERSION, "leases", namespace)
        self._path = path_of(VERSION, "leases", namespace, name)
        self._metadata = {"name": name, "namespace": namespace}
        self._identity = identity
        self._timing = timing
        self._clock = clock
        self._now = now
        self._seen: tuple[str, float] = ("", 0.0)
        self.leading = False

    async def lead(self, work: Callable[[], Awaitable[None]]) -> None:
        """Runs until cancelled. What `work` raises is raised, after the Lease was given back."""
        while True:
            if await self._try():
                log.info("leading as %s", self._identity)
                await self._hold(work)
                log.warning("not leading any more")
            await asyncio.sleep(self._timing.retry)

    async def _hold(self, work: Callable[[], Awaitable[None]]) -> None:
        """Work and renewal side by side; whichever ends first ends the other."""
        self.leading = True
        working = asyncio.ensure_future(work())
        renewing = asyncio.ensure_future(self._renew())
        try:
            await asyncio.wait({working, renewing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)
            self.leading = False
            await self._release()
        if not working.cancelled():
            working.result()

    async def _renew(self) -> None:
        """Returns when the Lease could not be renewed for too long."""
        renewed = self._clock()
        while self._clock() - renewed < self._timing.renew:
            await asyncio.sleep(self._timing.retry)
            if await self._try():
                renewed = self._clock()

    async def _try(self) -> bool:
        """Whether the Lease is ours after this attempt."""
        try:
            async with asyncio.timeout(self._timing.renew / 2):
                return await self._take()
        except (HostError, ApiError, TimeoutError) as error:
            log.info("lease: %s", error)
            return False

    async def _take(self) -> bool:
        found = await self._api.get(self._path)
        if found is None:
            await self._api.create(self._collection, self._document({}, {}))
            return True
        spec = found.get("spec") or {}
        if spec.get("holderIdentity") != self._identity and not self._free(found):
            return False
        await self._api.replace(self._path, self._document(found.get("metadata") or {}, spec))
        return True

    def _free(self, found: Object) -> bool:
        """Whether nobody holds it: given back, or unchanged for its duration while we looked."""
        spec = found.get("spec") or {}
        if not spec.get("holderIdentity"):
            return True
        version = str((found.get("metadata") or {}).get("resourceVersion"))
        if version != self._seen[0]:
            self._seen = version, self._clock()
        return self._clock() - self._seen[1] > float(spec.get("leaseDurationSeconds") or self._timing.duration)

    def _document(self, metadata: Object, spec: dict[str, Any], *, holder: str | None = None) -> Object:
        mine = spec.get("holderIdentity") == self._identity
        now = datetime.fromtimestamp(self._now(), UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        wanted = {
            "holderIdentity": self._identity if holder is None else holder,
            "leaseDurationSeconds": max(1, round(self._timing.duration)),
            "acquireTime": spec.get("acquireTime") if mine else now,
            "renewTime": now,
            "leaseTransitions": int(spec.get("leaseTransitions") or 0) + (0 if mine else 1),
        }
        return {"apiVersion": VERSION, "kind": "Lease", "metadata": {**self._metadata, **metadata}, "spec": wanted}

    async def _release(self) -> None:
        """Gives the Lease back if it is still ours, so that the next leader need not wait."""
        with contextlib.suppress(HostError, ApiError, TimeoutError):
            async with asyncio.timeout(2.0):
                found = await self._api.get(self._path)
                if found is not None and (found.get("spec") or {}).get("holderIdentity") == self._identity:
                    released = self._document(found.get("metadata") or {}, found["spec"], holder="")
                    await self._api.replace(self._path, released)
