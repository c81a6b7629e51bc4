"""One host watch for all tenants: opened, read, opened again where it was, and its events given to their owners.

It runs under the proxy's own read identity, so who owns an event is decided here: the host's namespace names its tenant
by label and prefix (tenants.registry), a Namespace by its own label and name. Whatever is nobody's is dropped.
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable
from enum import Enum
from typing import Any, Final, Protocol

import msgspec

from vcproxy.core import events, selectors, status, tables
from vcproxy.core.content import Content
from vcproxy.core.events import Heard
from vcproxy.core.framing import Frames
from vcproxy.core.hosting import HostRequest, HostResponse, Upstream
from vcproxy.core.kinds import Kind
from vcproxy.core.lens import Lens
from vcproxy.core.names import SYSTEM_NAMESPACE, TENANT_LABEL, HostName, TenantId, VirtualName, down
from vcproxy.core.request import resource_path
from vcproxy.core.status import ApiError
from vcproxy.core.view import NamespaceInfo, TenantView
from vcproxy.core.window import BYTES, COUNT, Window
from vcproxy.host.audience import HELD, Audience, Watcher

log = logging.getLogger(__name__)

EVENT_LIMIT: Final = 64 * 1024 * 1024
"""Bytes of one event: what etcd and the API server let through, and room for the frame around it."""
LIFE: Final = (2400, 3600)
"""Seconds for which the host is asked to keep a watch."""
SILENCE: Final = 180.0
"""Seconds without a byte after which a watch is opened anew that has had a bookmark: one comes each minute."""
WAITS: Final = (0.05, 5.0)
"""Seconds before a host that failed is asked again: at first, and at most."""
ASK: Final = 5.0
"""Seconds in which the host must say whether a namespace is there."""
SECOND_ASK: Final = 0.6
"""Seconds after which a namespace that is not there is asked for once more: a "no" is remembered for half a second."""
TRIES: Final = 20
FOREIGN: Final = 2.0
"""Seconds for which a namespace that is no tenant's is remembered as such."""
LIST_LIMIT: Final = 1 << 20


class Places(Protocol):
    """Who owns what on the host, as the registry knows it."""

    def tenant(self, tenant: TenantId) -> TenantView | None: ...

    def owner(self, namespace: HostName) -> tuple[TenantId, VirtualName] | None:
        """Whose namespace this is, or was a short while ago."""
        ...

    async def namespace(self, tenant: TenantId, name: VirtualName, deadline: float) -> NamespaceInfo | None: ...


class Verdict(Enum):
    OWN = "the tenant's"
    FOREIGN = "no tenant's"
    GONE = "not there any more: whose it was cannot be told"


class _Expired(Exception):  # noqa: N818 - an answer of the host
    """The host no longer has what comes after a version."""


class Hub:
    """One content. `begin` once; then it lives until it is closed or the host no longer has what comes next."""

    def __init__(
        self,
        content: Content,
        row: Kind,
        upstream: Upstream,
        places: Places,
        now: Callable[[], float],
        *,
        timeout: float,
        count: int = COUNT,
        size: int = BYTES,
    ) -> None:
        self.content = content
        self.row = row
        self.window = Window(0, count=count, size=size)
        self.alive = True
        self.expired = -1
        self.columns = b""
        self.lenses: dict[int, Lens] = {}
        self.current = places.tenant
        self.now = now
        self.audiences: dict[TenantId, Audience] = {}
        self.idle_since = now()
        self._upstream = upstream
        self._places = places
        self._timeout = timeout
        self._template: dict[str, Any] = content.bookmark()
        self._bookmarks: dict[tuple[int, bool], bytes] = {}
        self._foreign: dict[str, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._opened: asyncio.Task[HostResponse] | None = None

    def __repr__(self) -> str:
        watchers = sum(len(audience.watchers) for audience in self.audiences.values())
        return f"<hub {self.content.resource} {'alive' if self.alive else 'ended'} watchers={watchers} {self.window}>"

    # Beginning and ending --------------------------------------------------------------------------------------------

    def begin(self, wanted: int) -> None:
        """Open the host watch, from `wanted` on if that is a version that the host knows."""
        self._opened = asyncio.create_task(self._open(wanted))
        self._spawn(self._run(self._opened))

    async def opened(self) -> None:
        """Returns when the host watch is open. Raises ApiError as the host refused or failed."""
        assert self._opened is not None
        await asyncio.wait({self._opened})
        if self._opened.cancelled():
            raise status.bad_gateway()
        self._opened.result()

    async def _open(self, wanted: int) -> HostResponse:
        """A version that no client made up bounds the start: from one of the future no event would ever come."""
        newest = await self._newest()
        for start in (min(wanted, newest), newest):
            response = await self._watch(start)
            if response.status == 200:
                self.window.start = self.window.reached = start
                return response
            await self._refused(response)
        raise status.bad_gateway()

    async def _refused(self, response: HostResponse) -> None:
        code = response.status
        await response.close()
        if code != 410:
            log.warning("the host refuses to let %s be watched: %d", self.content.resource, code)
            raise status.bad_gateway()

    async def _newest(self) -> int:
        """The resourceVersion of now, of an empty list."""
        target = self.content.target(("limit", "1"), ("labelSelector", selectors.NOTHING))
        response = await self.ask(target, self.content.list_accept)
        try:
            if response.status != 200:
                await self._refused(response)
            document = msgspec.json.decode(await response.read(LIST_LIMIT))
            return int(document["metadata"]["resourceVersion"])
        except (msgspec.DecodeError, KeyError, ValueError, TypeError):
            raise status.bad_gateway() from None
        finally:
            await response.close()

    async def ask(self, target: str, accept: str = "application/json") -> HostResponse:
        """A read under the proxy's own identity."""
        return await self._upstream.send(HostRequest("GET", target, (("Accept", accept),), None, self._timeout))

    async def _watch(self, start: int) -> HostResponse:
        return await self.ask(self.watch_target(start, random.randint(*LIFE)), self.content.accept)  # noqa: S311

    def watch_target(self, start: int, life: int) -> str:
        return self.content.target(
            ("watch", "true"),
            ("allowWatchBookmarks", "true"),
            ("resourceVersion", str(start)),
            ("timeoutSeconds", str(life)),
        )

    def close(self) -> None:
        """End the host watch, and its watchers cleanly: they watch on elsewhere."""
        self.alive = False
        for task in self._tasks:
            task.cancel()
        if self._opened is not None:
            self._opened.cancel()
        for audience in tuple(self.audiences.values()):
            audience.finish()

    async def closed(self) -> None:
        """Returns when nothing of it runs any more."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _spawn(self, coroutine: Any) -> None:
        task: asyncio.Task[None] = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # Reading ---------------------------------------------------------------------------------------------------------

    async def _run(self, opened: "asyncio.Task[HostResponse]") -> None:
        try:
            response = await opened
            while True:
                await self._read(response)
                response = await self._again()
        except ApiError:
            pass  # it never opened: whoever waited for it has the error
        except _Expired:
            log.info("the host no longer has what comes after %r: its watchers are told", self)
            self.expired = self.window.reached
            for audience in self.audiences.values():
                audience.expire(self.expired)
        except Exception:
            log.exception("a shared watch failed: its watchers begin anew")
        self.close()

    async def _again(self) -> HostResponse:
        """The host watch once more, from where it was; asked for until it is there."""
        wait = WAITS[0]
        while True:
            await asyncio.sleep(wait * random.uniform(0.5, 1))  # noqa: S311 - jitter
            wait = min(wait * 2, WAITS[1])
            with contextlib.suppress(ApiError):
                response = await self._watch(self.window.reached)
                if response.status == 200:
                    return response
                await response.close()
                if response.status == 410:
                    raise _Expired

    async def _read(self, response: HostResponse) -> None:
        """Events until the stream ends in whatever way but an error that tells that they cannot go on."""
        frames, chunks, patience = Frames(EVENT_LIMIT), response.chunks(), LIFE[1] + SILENCE
        try:
            while True:
                async with asyncio.timeout(patience):
                    chunk = await anext(chunks)
                heard = [self.hear(line) for line in frames.feed(chunk)]
                if any(one.type == "BOOKMARK" for one in heard):
                    patience = SILENCE  # where the host keeps no cache of watches, as of Events, it sends none
                self.take(heard)
        except (StopAsyncIteration, TimeoutError, ApiError, msgspec.DecodeError) as ended:
            log.debug("%r: %s", self, type(ended).__name__)
        finally:
            await response.close()

    def hear(self, line: bytes) -> Heard:
        """An event of the host's line. Raises msgspec.DecodeError."""
        heard = events.read(line, table=self.content.form == "Table")
        if heard.columns and heard.columns != self.columns:
            self.columns = heard.columns
            self.lenses = tables.columns(msgspec.json.decode(heard.columns), self.row.group, self.row.kind)
        return heard

    def take(self, heard: list[Heard]) -> None:
        """Events that came together: each to its owner, then all at once to the watchers."""
        touched = dict[Audience, None]()
        try:
            for one in heard:
                if one.type == "ERROR":
                    self._error(one)
                elif one.type == "BOOKMARK":
                    self._template = msgspec.json.decode(one.object)
                elif (audience := self._give(one)) is not None:
                    touched[audience] = None
                if one.version > self.window.reached:
                    self.window.reached = one.version
        finally:
            for audience in touched:
                audience.deliver()

    def _error(self, heard: Heard) -> None:
        code = msgspec.json.decode(heard.object).get("code")
        if code == 410:
            raise _Expired
        raise status.bad_gateway()  # the host is in trouble: what comes after `reached` is asked for again

    # Owners ----------------------------------------------------------------------------------------------------------

    def audience(self, tenant: TenantId) -> Audience:
        found = self.audiences.get(tenant)
        if found is None:
            found = self.audiences[tenant] = Audience(self, tenant)
        return found

    def _give(self, heard: Heard) -> Audience | None:
        """Keep an event for its owner. The audience, if there is something to deliver."""
        owner = self.owner(heard)
        if owner is None:
            suspect = self.suspect(heard)
            if suspect is not None:
                self._hold(self.audience(suspect[0]), heard)
            return None
        audience = self.audience(owner[0])
        if audience.held:
            self._hold(audience, heard)
            return None
        audience.add(heard, owner[1] if self.row.namespaced else VirtualName(""))
        return audience

    def owner(self, heard: Heard) -> tuple[TenantId, VirtualName] | None:
        """Tenant and name of the event's namespace, or of the Namespace that it is about."""
        if self.row.namespaced:
            return self._places.owner(HostName(heard.namespace))
        tenant = TenantId(heard.labels.get(TENANT_LABEL, ""))
        name = down(tenant, HostName(heard.name)) if tenant else None
        return (tenant, name) if name is not None and name != SYSTEM_NAMESPACE else None

    def suspect(self, heard: Heard) -> tuple[TenantId, VirtualName] | None:
        """Whose namespace it may be by its name: that of an active tenant which nobody has told of yet."""
        tenant, hyphen, name = heard.namespace.partition("-")
        if not self.row.namespaced or not hyphen or name in ("", SYSTEM_NAMESPACE):
            return None
        known = self._places.tenant(TenantId(tenant)) is not None
        return (TenantId(tenant), VirtualName(name)) if known and not self._is_foreign(heard.namespace) else None

    def _is_foreign(self, namespace: str) -> bool:
        return self._foreign.get(namespace, 0.0) > self.now()

    def _hold(self, audience: Audience, heard: Heard) -> None:
        """Keep the events of one tenant back, in order, until it is known whose the first one's namespace is."""
        audience.held.append(heard)
        if len(audience.held) == 1:
            self._spawn(self._release(audience))
        elif len(audience.held) > HELD:
            log.warning("too many events of tenant %s wait for a namespace to be known", audience.tenant)
            audience.missed(audience.held[-1].version)
            audience.held.clear()

    async def _release(self, audience: Audience) -> None:
        """Give what was held to its owner. Whatever goes wrong, nothing is held for ever."""
        try:
            await self._give_held(audience)
        except Exception:
            log.exception("%r: what was held is lost: its watchers list again", audience)
            if audience.held:
                audience.missed(audience.held[-1].version)
                audience.held.clear()
        audience.deliver()

    async def _give_held(self, audience: Audience) -> None:
        while audience.held:
            heard, waiting = audience.held[0], len(audience.held)
            owner, suspect = self.owner(heard), self.suspect(heard)
            if owner is None and suspect is not None:
                verdict = await self.verdict(*suspect, HostName(heard.namespace))
                if not audience.held or audience.held[0] is not heard:
                    continue
                if verdict is Verdict.GONE:
                    audience.lose(heard.namespace, waiting)
                    continue
                owner = suspect if verdict is Verdict.OWN else None
            audience.held.popleft()
            if owner is not None and owner[0] == audience.tenant:
                audience.add(heard, owner[1])

    async def verdict(self, tenant: TenantId, name: VirtualName, host: HostName) -> Verdict:
        """Whether a namespace is the tenant's. Asked twice: a "no" may be from before the namespace was made."""
        for _ in range(TRIES):
            try:
                for wait in (SECOND_ASK, 0.0):
                    if await self._places.namespace(tenant, name, ASK) is not None:
                        return Verdict.OWN
                    await asyncio.sleep(wait)
                found = await self._is_there(host)
            except ApiError:
                await asyncio.sleep(1.0)
                continue
            if found:
                self._remember_foreign(host)
            return Verdict.FOREIGN if found else Verdict.GONE
        return Verdict.GONE

    def _remember_foreign(self, namespace: str) -> None:
        if len(self._foreign) > HELD:
            self._foreign.clear()
        self._foreign[namespace] = self.now() + FOREIGN

    async def _is_there(self, namespace: HostName) -> bool:
        response = await self.ask(resource_path("", "v1", "namespaces", "", namespace))
        await response.close()
        if response.status not in (200, 404):
            raise status.bad_gateway()
        return response.status == 200

    # What the sweep does ---------------------------------------------------------------------------------------------

    def bookmark(self, version: int, *, initial_end: bool = False) -> bytes:
        """A framed bookmark; the last one is kept, since many watchers get the same."""
        key = version, initial_end
        if key not in self._bookmarks:
            self._bookmarks = {key: events.bookmark(self._template, version, initial_end=initial_end)}
        return self._bookmarks[key]

    def sweep(self, *, check: bool) -> None:
        """Look at every watcher, and forget tenants that have none and no events."""
        now = self.now()
        for tenant, audience in tuple(self.audiences.items()):
            for watcher in tuple(audience.watchers):
                _look(watcher, now, check=check)
            if audience.watchers:
                self.idle_since = now
            elif audience.idle:
                del self.audiences[tenant]
                self.window.forget(tenant)


def _look(watcher: Watcher, now: float, *, check: bool) -> None:
    """What goes wrong with one watcher costs that one: its client watches on elsewhere, all others are looked at."""
    try:
        watcher.look(now, check=check)
    except Exception:
        log.exception("a watcher of tenant %s could not be looked at: it is cut off", watcher.audience.tenant)
        watcher.cut()
