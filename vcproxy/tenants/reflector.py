"""A live copy of one collection of the host: list it, watch it, for ever.

Three nested generators, each with one worry: `_for_ever` retries with growing, jittered pauses; `_list_then_watch`
lists once and goes on from the version it knows until the host has forgotten it (410); `_stream` is one watch. What
happens is handed to a callback, synchronously and in order, so whoever keeps a copy needs no lock.

An idle watch looks like a dead one, so two clocks run: the host is asked to end each watch after some minutes
(timeoutSeconds) and to send bookmarks (about one a minute, not promised), and a stream that is silent for longer is
given up for a new one, which shows whether the host is there.
"""

import asyncio
import logging
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing
from typing import Final
from urllib.parse import urlencode

import msgspec

from vcproxy.core import status
from vcproxy.core.framing import Frames
from vcproxy.core.hosting import HostRequest, HostResponse, Upstream
from vcproxy.core.status import ApiError
from vcproxy.tenants.hostapi import JSON, HostApi, HostError, Object, answer, refusal

log = logging.getLogger(__name__)

ADDED: Final = "ADDED"
MODIFIED: Final = "MODIFIED"
DELETED: Final = "DELETED"
BOOKMARK: Final = "BOOKMARK"
ERROR: Final = "ERROR"


class Sync(msgspec.Struct, frozen=True):
    """The whole collection: what is not in it is gone. `version` is its resourceVersion."""

    items: list[Object]
    version: str = ""


class Event(msgspec.Struct, frozen=True):
    """One change: `type` is ADDED, MODIFIED or DELETED, `object` the state after it (for DELETED: the last one)."""

    type: str
    object: Object


Change = Sync | Event


class Timing(msgspec.Struct, frozen=True):
    """Seconds, all of them. `behind` is for how long a broken watch is no reason to be called unready."""

    head: float = 10.0
    watch: float = 240.0
    silence: float = 90.0
    first_pause: float = 0.1
    longest_pause: float = 5.0
    behind: float = 10.0


class _WatchEvent(msgspec.Struct):
    type: str
    object: Object


class Reflector:
    """Keeps telling `deliver` what a collection holds. `query` may hold labelSelector and fieldSelector."""

    def __init__(
        self,
        upstream: Upstream,
        path: str,
        deliver: Callable[[Change], None],
        *,
        query: Mapping[str, str] | None = None,
        timing: Timing = Timing(),  # noqa: B008 - frozen
        event_limit: int = 8 * 2**20,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path = path
        self._api = HostApi(upstream, timeout=timing.head)
        self._upstream = upstream
        self._deliver = deliver
        self._query = dict(query or {})
        self._timing = timing
        self._event_limit = event_limit
        self._clock = clock
        self._synced = asyncio.Event()
        self._failures = 0
        self._broken_since: float | None = None
        self._problem = "not listed yet"

    @property
    def synced(self) -> bool:
        """Whether the collection has been listed once; from then on the copy is there, if perhaps old."""
        return self._synced.is_set()

    async def wait_synced(self) -> None:
        await self._synced.wait()

    def reason(self) -> str | None:
        """Why this copy cannot be relied on now, or None."""
        if not self.synced:
            return f"{self.path}: {self._problem}"
        if self._broken_since is not None and self._clock() - self._broken_since > self._timing.behind:
            return f"{self.path}: {self._problem}"
        return None

    async def run(self) -> None:
        """Runs until cancelled."""
        async with aclosing(self._for_ever()) as changes:
            async for change in changes:
                self._deliver(change)
                if isinstance(change, Sync):
                    self._synced.set()

    async def _for_ever(self) -> AsyncGenerator[Change, None]:
        while True:
            try:
                async with aclosing(self._list_then_watch()) as changes:
                    async for change in changes:
                        yield change
            except (HostError, ApiError) as error:
                await self._pause(error)

    async def _list_then_watch(self) -> AsyncGenerator[Change, None]:
        items, version = await self._list()
        yield Sync(items, version)
        while True:
            try:
                async with aclosing(self._stream(version)) as events:
                    async for event in events:
                        self._failures = 0
                        version = event.object.get("metadata", {}).get("resourceVersion") or version
                        if event.type != BOOKMARK:
                            yield event
            except ApiError as error:  # the way broke, the version is still good
                await self._pause(error)

    async def _list(self) -> tuple[list[Object], str]:
        items: list[Object] = []
        more = ""
        while True:
            page = await self._api.page(self.path, self._query, more)
            items += page.get("items") or ()
            metadata = page.get("metadata") or {}
            more = metadata.get("continue") or ""
            if not more:
                return items, str(metadata.get("resourceVersion", ""))

    async def _stream(self, version: str) -> AsyncGenerator[Event, None]:
        started, seen = self._clock(), 0
        response = await self._open(version)
        try:
            async with aclosing(self._lines(response)) as lines:
                async for line in lines:
                    seen += 1
                    yield _event(line)
        finally:
            await response.close()
        if not seen and self._clock() - started < 1.0:  # a host that ends every watch at once is not asked at once
            raise status.unavailable("the watch ended at once")

    async def _open(self, version: str) -> HostResponse:
        life = self._timing.watch * random.uniform(0.8, 1.2)  # noqa: S311 - spreads load, guards nothing
        wanted = {
            **self._query,
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(int(life)),
        }
        headers = [("Accept", JSON), ("User-Agent", "vcproxy")]
        target = f"{self.path}?{urlencode(wanted)}"
        response = await self._upstream.send(HostRequest("GET", target, headers, None, self._timing.head))
        if response.status != 200:
            await self._refused(response)
        self._broken_since = None
        return response

    async def _refused(self, response: HostResponse) -> None:
        """Raises ApiError where the version stays good (429 and 5xx), HostError where a list must come first."""
        try:
            await answer(response)
        except HostError as error:
            if error.code == 429 or error.code >= 500:
                raise status.unavailable(str(error)) from error
            raise
        finally:
            await response.close()
        raise HostError(response.status, "BadAnswer", "a watch is answered by 200")

    async def _lines(self, response: HostResponse) -> AsyncGenerator[bytes, None]:
        frames = Frames(self._event_limit)
        chunks = response.chunks()
        while (chunk := await self._chunk(chunks)) is not None:
            for line in _cut(frames, chunk):
                yield line

    async def _chunk(self, chunks: AsyncIterator[bytes]) -> bytes | None:
        """The next bytes, or None at the end. A stream that is silent for too long has ended too: ask anew, and see."""
        try:
            async with asyncio.timeout(self._timing.silence):
                return await anext(chunks, None)
        except TimeoutError:
            log.debug("%s: silent for %.0f s", self.path, self._timing.silence)
            return None

    async def _pause(self, error: Exception) -> None:
        """Waits a while that doubles with each failure in a row; a forgotten version (410) costs the shortest."""
        self._problem = str(error)
        self._broken_since = self._broken_since if self._broken_since is not None else self._clock()
        self._failures += 1
        log.log(logging.INFO if self._failures < 4 else logging.WARNING, "%s: %s", self.path, error)
        longest = min(self._timing.first_pause * 2 ** min(self._failures - 1, 16), self._timing.longest_pause)
        await asyncio.sleep(longest * random.uniform(0.5, 1.0))  # noqa: S311 - spreads load, guards nothing


def _cut(frames: Frames, chunk: bytes) -> list[bytes]:
    """The lines of a chunk. An event over the limit needs a new list: the same watch would bring it again."""
    try:
        return list(frames.feed(chunk))
    except ApiError as error:
        raise HostError(200, "BadAnswer", "an event is too long") from error


def _event(line: bytes) -> Event:
    """One watch event. Raises HostError for ERROR events and for lines that are none."""
    try:
        event = msgspec.json.decode(line, type=_WatchEvent)
    except msgspec.DecodeError as error:
        raise HostError(200, "BadAnswer", "a line of the watch is not an event") from error
    if event.type == ERROR:
        raise refusal(int(event.object.get("code") or 500), event.object)
    if event.type not in (ADDED, MODIFIED, DELETED, BOOKMARK):
        raise HostError(200, "BadAnswer", "an event of an unknown type")
    return Event(event.type, event.object)
