"""Shared watches: one host watch for each content, whatever the number of tenants and clients that watch it.

`Hubs.join` finds or opens the hub of a content and places a client in it; None means that the client is to have host
watches of its own (host.watches). A sweep each second ends what has ended; nothing else runs for a client that waits.
"""

import asyncio
import random
import time
from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from vcproxy.core import events, status
from vcproxy.core.content import Content, Wish
from vcproxy.core.hosting import Upstream
from vcproxy.core.kinds import Exposure, Kind
from vcproxy.core.names import VirtualName
from vcproxy.core.node_events import Look
from vcproxy.core.scope import Scope
from vcproxy.core.status import ApiError
from vcproxy.host.audience import Watcher
from vcproxy.host.backfill import Backfill
from vcproxy.host.hubs import Hub, Places
from vcproxy.host.initial import Initial
from vcproxy.host.node_watches import NodeAudience, NodeBackfill, NodeHub, NodeWatcher, bookmark_of, check_known
from vcproxy.host.older import OlderHubs

SWEEP: Final = 1.0
"""Seconds between two looks at the watchers."""
CHECKS: Final = 2
"""Every how many looks it is asked whether a watcher still may watch."""
LINGER: Final = 60.0
"""Seconds for which a host watch goes on without a watcher."""
LIFE: Final = (1800, 3600)
"""Seconds that a watch lasts when the client says nothing (the API server's --min-request-timeout, and its double)."""


class Client(msgspec.Struct, frozen=True):
    """Who watches: names and user, which namespaces (None: all), whether it still may, and how its place goes back."""

    scope: Scope
    row: Kind
    namespaces: frozenset[VirtualName] | None
    valid: Callable[[], bool]
    give_back: Callable[[], None]


class Hubs:
    """All shared watches of one process. `run` sweeps them until it is cancelled, and ends them."""

    def __init__(
        self,
        upstream: Upstream,
        places: Places,
        *,
        timeout: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._upstream = upstream
        self._places = places
        self._timeout = timeout
        self._clock = clock
        self._hubs: dict[Content, tuple[Hub, Backfill]] = {}
        self._older: dict[Content, OlderHubs] = {}
        self._sweeps = 0

    def __repr__(self) -> str:
        return f"<hubs {list(self._all())}>"

    async def join(
        self, content: Content, wish: Wish, client: Client, initial: Initial | None = None
    ) -> Watcher | None:
        """A watcher of a content from `wish.after` on, or after the initial events; None: it shall be served alone.

        Raises ApiError 410 where events of its tenant since then are known to be lost.
        """
        after = initial.version if initial is not None else wish.after or 0
        try:
            hub = await self._covering(content, client.row, after)
        except ApiError:
            return None
        if hub is None or not hub.alive:
            return None
        hub.idle_since = self._clock()
        audience = hub.audience(client.scope.tenant)
        audience.know(client.scope)
        if after < audience.floor:
            raise status.gone(f"too old resource version: {after} ({audience.floor})")
        frames = [*initial.frames] if initial is not None else []
        if wish.initial_end and initial is not None:
            frames.append(hub.bookmark(initial.version, initial_end=True))
        return Watcher(
            audience,
            after,
            namespaces=client.namespaces,
            bookmarks=wish.bookmarks,
            deadline=self._clock() + (wish.life or random.randint(*LIFE)),  # noqa: S311 - jitter, not a secret
            user=client.scope.user,
            valid=client.valid,
            give_back=client.give_back,
            initial=frames,
            headed=content.form != "Table" or (initial is not None and initial.headed),
        )

    async def _covering(self, content: Content, row: Kind, after: int) -> Hub | None:
        """The hub that tells all that is newer than a version; None where the host no longer has that much."""
        hub, backfill = await self._hub(content, row, after)
        if await backfill.covers(after):
            return hub
        if after <= backfill.gone:
            return None
        older = self._older.setdefault(content, OlderHubs(lambda: self._made(content, row)[0]))
        return await older.covering(after, backfill.oldest if backfill.oldest > backfill.gone else after)

    def _all(self) -> Iterator[Hub]:
        """All hubs, the first of each content and those beside it."""
        yield from (hub for hub, _ in self._hubs.values())
        for older in self._older.values():
            yield from older

    async def _hub(self, content: Content, row: Kind, after: int) -> tuple[Hub, Backfill]:
        found = self._hubs.get(content)
        if found is None or not found[0].alive:
            found = self._hubs[content] = self._made(content, row)
            found[0].begin(after)
        found[0].idle_since = self._clock()
        await found[0].opened()
        return found

    def _made(self, content: Content, row: Kind) -> tuple[Hub, Backfill]:
        if row.exposure is not Exposure.SHARED:
            hub = Hub(content, row, self._upstream, self._places, self._clock, timeout=self._timeout)
            return hub, Backfill(hub)
        nodes = NodeHub(content, row, self._upstream, self._places, self._clock, timeout=self._timeout)
        return nodes, NodeBackfill(nodes)

    async def join_shared(
        self, content: Content, wish: Wish, client: Client, look: Look, initial: Initial | None = None
    ) -> NodeWatcher:
        """A watcher of a Shared kind, which sees of it what `look` says. Raises ApiError, 410 to list anew."""
        after = initial.version if initial is not None else wish.after or 0
        check_known(look, after)
        hub, backfill = await self._hub(content, client.row, after)
        if not await backfill.covers(after) or not hub.alive:
            raise status.gone(f"too old resource version: {after} ({hub.window.start})")
        hub.idle_since = self._clock()
        audience = hub.audience(client.scope.tenant)
        assert isinstance(audience, NodeAudience)
        frames = [*initial.frames] if initial is not None else []
        if wish.initial_end and initial is not None:
            frames.append(events.bookmark(bookmark_of(look, content.version), initial.version, initial_end=True))
        return NodeWatcher(
            audience,
            after,
            look_at=look,
            current=lambda: self._places.tenant(client.scope.tenant),
            bookmarks=wish.bookmarks,
            deadline=self._clock() + (wish.life or random.randint(*LIFE)),  # noqa: S311 - jitter, not a secret
            valid=client.valid,
            give_back=client.give_back,
            initial=frames,
            headed=look.form.name != "Table" or (initial is not None and initial.headed),
        )

    async def run(self) -> None:
        """Sweep until cancelled; then end all host watches."""
        try:
            while True:
                await asyncio.sleep(SWEEP)
                self.sweep()
        finally:
            hubs = tuple(self._all())
            for hub in hubs:
                hub.close()
            await asyncio.gather(*(hub.closed() for hub in hubs))

    def sweep(self) -> None:
        """One look at everything."""
        self._sweeps += 1
        for hub in tuple(self._all()):
            hub.sweep(check=self._sweeps % CHECKS == 0)
            if hub.alive and self._clock() - hub.idle_since > LINGER:
                hub.close()
        self._hubs = {content: pair for content, pair in self._hubs.items() if pair[0].alive}
        for older in self._older.values():
            older.forget()
