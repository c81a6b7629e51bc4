"""A window made longer at its old end, for clients that come from before it: as after a restart of the proxy.

One more host watch, from the oldest version that is asked for to where the window begins, for all who ask at about the
same time. Where it is too much for the window they get another hub (host.older). Where the host no longer has it,
whoever asked gets host watches of its own, so that a 410 comes from the host itself and reaches only those who are too
old.
"""

import asyncio
import logging
from typing import Final

import msgspec

from vcproxy.core import status
from vcproxy.core.events import Heard
from vcproxy.core.framing import Frames
from vcproxy.core.hosting import HostResponse
from vcproxy.core.names import HostName, TenantId, VirtualName
from vcproxy.core.status import ApiError
from vcproxy.core.window import Event
from vcproxy.host.audience import event_of
from vcproxy.host.hubs import EVENT_LIMIT, Hub, Verdict

log = logging.getLogger(__name__)

LIFE: Final = 4
"""Seconds that the host is asked to keep such a watch: two before its end it sends a bookmark, also where nothing
happened (kube-apiserver: cacheWatcher.nextBookmarkTime)."""
DEADLINE: Final = 15.0
"""Seconds for which a client waits for its head: in all, whatever is tried."""
GATHER: Final = 0.02
"""Seconds in which others may join a round: after a restart all clients come at once."""
ROUNDS: Final = 8
"""Versions that are tried in one round, the oldest first."""

Owned = list[tuple[TenantId, Event]]


class _TooMuch(Exception):  # noqa: N818 - no fault
    """The window has no room for what the host tells, or the time is too short for it."""


class Backfill:
    """The way back of one hub. `gone`: up to this version the host has said that it has nothing more.

    `too_old`: up to this version the window can be made no longer, for whatever reason; `oldest` is the oldest that was
    tried in the last round.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._asked: set[int] = set()
        self._flight: asyncio.Task[None] | None = None
        self.gone = self.too_old = self.oldest = -1

    async def covers(self, version: int) -> bool:
        """Whether the window covers a version, made longer if it must be."""
        loop = asyncio.get_running_loop()
        end = loop.time() + DEADLINE
        while not self._hub.window.covers(version):
            if version <= self.too_old or not self._hub.alive or loop.time() >= end:
                return False
            self._asked.add(version)
            if self._flight is None or self._flight.done():
                self._flight = asyncio.create_task(self._round())
            await asyncio.wait({self._flight}, timeout=end - loop.time())
        return True

    async def _round(self) -> None:
        await asyncio.sleep(GATHER)
        asked, self._asked = sorted(self._asked), set()
        self.oldest = asked[0]
        end = asyncio.get_running_loop().time() + DEADLINE
        for version in asked[:ROUNDS]:
            if self._hub.window.covers(version) or await self._reached(version, end):
                return
            self.too_old = max(self.too_old, version)
        self.too_old = max(self.too_old, asked[-1])

    async def _reached(self, version: int, end: float) -> bool:
        try:
            async with asyncio.timeout_at(end):
                return await self._lengthen(version)
        except (_TooMuch, TimeoutError, ApiError, msgspec.DecodeError) as error:
            log.info("%r cannot be made longer to %d: %s", self._hub, version, type(error).__name__)
            return False

    async def _lengthen(self, version: int) -> bool:
        window = self._hub.window
        start = window.start
        heard = await self._older(version, start)
        if heard is None:
            self.gone = max(self.gone, version)
            return False
        owned = await self._owned(version, heard)
        return owned is not None and window.start == start and window.prepend(version, owned)

    async def _older(self, version: int, start: int) -> list[Heard] | None:
        """The events after `version` up to `start`; None where the host no longer has them."""
        response = await self._hub.ask(self._hub.watch_target(version, LIFE), self._hub.content.accept)
        try:
            if response.status not in (200, 410):
                raise status.bad_gateway()
            return await self._read(response, start) if response.status == 200 else None
        finally:
            await response.close()

    async def _read(self, response: HostResponse, start: int) -> list[Heard] | None:
        frames, found, size = Frames(EVENT_LIMIT), list[Heard](), 0
        async for chunk in response.chunks():
            size += len(chunk)
            for line in frames.feed(chunk):
                heard = self._hub.hear(line)
                if heard.type == "ERROR":
                    return None
                if not self._hub.window.has_room(len(found), 2 * size):
                    raise _TooMuch
                if heard.type != "BOOKMARK" and heard.version <= start:
                    found.append(heard)
                if heard.version >= start:
                    return found
        raise _TooMuch

    async def _owned(self, version: int, heard: list[Heard]) -> Owned | None:
        """The events since a version that are a tenant's. Namespaces that nobody knows are asked for, each once."""
        verdicts: dict[str, Verdict] = {}
        found: Owned = []
        for one in heard:
            owner, suspect = self._hub.owner(one), self._hub.suspect(one)
            if owner is None and suspect is not None:
                if one.namespace not in verdicts:
                    verdicts[one.namespace] = await self._hub.verdict(*suspect, HostName(one.namespace))
                if verdicts[one.namespace] is Verdict.GONE:
                    self._hub.audience(suspect[0]).missed(one.version)
                owner = suspect if verdicts[one.namespace] is Verdict.OWN else None
            if owner is not None:
                found.append((owner[0], event_of(one, owner[1] if self._hub.row.namespaced else VirtualName(""))))
        return found
