"""Watches of one client over namespaces that come, go, fall silent and are refused."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest

from tests.flow.live import LiveHost, Stream, Watching, Whole, bookmark, event, pod, settle, until
from tests.flow.scripted import ACME
from vcproxy.core.hosting import HostRequest, HostResponse
from vcproxy.core.names import VirtualName
from vcproxy.core.view import ClassLists, NamespaceInfo
from vcproxy.host import dispatch, watches

ALL = "/api/v1/pods?watch=1&resourceVersion=100&labelSelector=a%21%3Db"


class Moving:
    """What a watch follows, in the test's hands."""

    def __init__(self, **born: str) -> None:
        self.born = born
        self._moved = asyncio.Event()

    def namespaces(self) -> Mapping[VirtualName, NamespaceInfo] | None:
        return {VirtualName(name): NamespaceInfo(0.0, version) for name, version in self.born.items()}

    def classes(self) -> ClassLists | None:
        return ClassLists()

    async def changed(self) -> None:
        await self._moved.wait()
        self._moved.clear()

    async def close(self) -> None: ...

    async def move(self, **born: str) -> None:
        self.born = born
        self._moved.set()
        await settle()


class Refusing(LiveHost):
    """A host on which nobody has rights in some namespaces."""

    def __init__(self) -> None:
        super().__init__()
        self.refused: set[str] = set()
        self.refusals = 0

    async def send(self, request: HostRequest) -> HostResponse:
        if any(f"/namespaces/{name}/" in urlsplit(request.target).path for name in self.refused):
            self.refusals += 1
            return Whole({"kind": "Status", "code": 403, "reason": "Forbidden", "message": "no"}, 403)
        return await super().send(request)

    def part(self, namespace: str) -> list[Stream]:
        """The watches of one namespace, in the order in which they were opened."""
        return [one for one in self.streams if f"/namespaces/{namespace}/" in one.request.target]


class At(Watching):
    def __init__(self, **born: str) -> None:
        super().__init__("acme-default", "acme-web", "acme-new")
        self.moving = Moving(**born)
        self.refusing = self.live = Refusing()
        self.hubs._upstream = self.flow._upstream = self.live
        self.flow._changes = lambda view: self.moving
        self.seen: list[str] = []
        self.reading: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def watched(self, target: str = ALL) -> AsyncIterator[None]:
        """A client that reads; `seen` has each event in short: `ADDED web/a 7`."""
        self.as_tenant(ACME)
        reply = await self.reply("GET", target)
        assert reply.stream is not None, reply.body
        self.reading = asyncio.create_task(self._read(reply.stream.chunks()))
        await settle()
        try:
            yield
        finally:
            self.reading.cancel()
            await asyncio.gather(self.reading, return_exceptions=True)
            await reply.stream.close()

    async def _read(self, chunks: AsyncIterator[bytes]) -> None:
        async for line in chunks:
            found = json.loads(line)
            metadata = found["object"]["metadata"]
            name = f" {metadata['namespace']}/{metadata['name']}" if "name" in metadata else ""
            self.seen.append(f"{found['type']}{name} {metadata['resourceVersion']}")

    async def sees(self, *wanted: str) -> None:
        await until(lambda: self.seen == [*wanted])


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, float], None]:
    return lambda name, value: monkeypatch.setattr(watches, name, value)


async def test_a_host_that_falls_silent_is_asked_again_from_where_it_was(
    patient: Callable[[str, float], None],
) -> None:
    patient("SILENCE", 0.05)
    at = At(default="1", web="2")
    async with at.watched():
        await at.refusing.part("acme-web")[0].put(bookmark(100), event("ADDED", pod("acme-web", "a", 101)))
        await at.refusing.part("acme-default")[0].put(bookmark(100))
        await until(lambda: len(at.refusing.part("acme-web")) > 1 and len(at.refusing.part("acme-default")) > 1)
        first, again = at.refusing.part("acme-web")[:2]
        assert (first.closed, again.query["resourceVersion"]) == (True, "101")
        assert at.refusing.part("acme-default")[1].query["resourceVersion"] == "100"
        await at.sees("ADDED web/a 101")


async def test_where_the_host_sends_no_bookmarks_silence_is_no_failure(patient: Callable[[str, float], None]) -> None:
    patient("SILENCE", 0.02)
    at = At(default="1")
    async with at.watched():
        await at.refusing.part("acme-default")[0].put(event("ADDED", pod("acme-default", "a", 101)))
        await asyncio.sleep(0.1)
        assert len(at.refusing.part("acme-default")) == 1
        await at.refusing.part("acme-default")[0].put(event("ADDED", pod("acme-default", "b", 102)))
        await at.sees("ADDED default/a 101", "ADDED default/b 102")


async def test_a_client_that_leaves_while_its_watch_is_opened_leaves_no_host_watch_behind() -> None:
    at = At(default="1", web="2")
    open_at = at.refusing.send

    async def late(request: HostRequest) -> HostResponse:
        if "/namespaces/acme-web/" in request.target and "watch" in request.target:
            await asyncio.Event().wait()
        return await open_at(request)

    at.refusing.send = late  # type: ignore[method-assign]
    at.as_tenant(ACME)
    asked = asyncio.create_task(at.reply("GET", ALL))
    await until(lambda: len(at.refusing.part("acme-default")) == 1)
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)
    await until(lambda: at.refusing.part("acme-default")[0].closed)


async def test_a_host_that_does_not_end_a_watch_in_time_does_not_make_it_longer(
    patient: Callable[[str, float], None],
) -> None:
    patient("GRACE", 0.05)
    at = At(default="1")
    async with at.watched(f"{ALL}&timeoutSeconds=1"):
        assert at.reading is not None
        await until(at.reading.done)
        assert at.refusing.part("acme-default")[0].closed


async def test_the_last_events_of_a_namespace_that_went_are_told(patient: Callable[[str, float], None]) -> None:
    patient("LAST", 0.1)
    at = At(default="1", web="2")
    async with at.watched():
        await at.moving.move(default="1")
        await at.refusing.part("acme-web")[0].put(event("DELETED", pod("acme-web", "a", 101)))
        await at.sees("DELETED web/a 101")
        await until(lambda: at.refusing.part("acme-web")[0].closed)
        await at.refusing.part("acme-default")[0].put(event("ADDED", pod("acme-default", "b", 102)))
        await at.sees("DELETED web/a 101", "ADDED default/b 102")
        assert len(at.refusing.part("acme-web")) == 1


async def test_a_part_of_a_namespace_that_went_may_end_and_the_watch_goes_on() -> None:
    at = At(default="1", web="2")
    async with at.watched():
        await at.moving.move(default="1")
        await at.refusing.part("acme-web")[0].end()
        await at.refusing.part("acme-default")[0].put(event("ADDED", pod("acme-default", "b", 102)))
        await at.sees("ADDED default/b 102")
        assert len(at.refusing.part("acme-web")) == 1


async def test_a_namespace_made_anew_at_once_is_seen_by_the_same_watch(patient: Callable[[str, float], None]) -> None:
    patient("LAST", 0.1)
    at = At(default="1", web="2")
    async with at.watched():
        await at.moving.move(default="1")
        await at.moving.move(default="1", web="103")
        await asyncio.sleep(0.15)
        (part,) = at.refusing.part("acme-web")
        await part.put(event("ADDED", pod("acme-web", "a", 104)))
        await at.sees("ADDED web/a 104")


async def test_a_new_namespace_whose_rights_come_late_loses_nothing() -> None:
    at = At(default="1")
    at.refusing.refused = {"acme-new"}
    async with at.watched():
        await at.moving.move(default="1", new="110")
        await until(lambda: at.refusing.refusals > 1)
        at.refusing.refused.clear()
        await until(lambda: bool(at.refusing.part("acme-new")))
        (part,) = at.refusing.part("acme-new")
        assert part.query["resourceVersion"] == "110"
        await part.put(event("ADDED", pod("acme-new", "a", 111)))
        await at.sees("ADDED new/a 111")


async def test_a_namespace_that_is_refused_at_first_begins_where_the_client_was() -> None:
    at = At(default="1", web="2")
    at.refusing.refused = {"acme-web"}
    async with at.watched():
        at.refusing.refused.clear()
        await until(lambda: bool(at.refusing.part("acme-web")))
        assert at.refusing.part("acme-web")[0].query["resourceVersion"] == "100"


async def test_a_namespace_without_rights_holds_bookmarks_back_for_a_while_only(
    patient: Callable[[str, float], None],
) -> None:
    patient("REFUSED", 0.2)
    at = At(default="1")
    at.refusing.refused = {"acme-new"}
    async with at.watched(f"{ALL}&allowWatchBookmarks=true"):
        await at.moving.move(default="1", new="110")
        await until(lambda: at.refusing.refusals > 0)
        part = at.refusing.part("acme-default")[0]
        await part.put(bookmark(120))
        await asyncio.sleep(0.1)
        assert [one for one in at.seen if one > "BOOKMARK 110"] == []
        await asyncio.sleep(0.5)
        await part.put(bookmark(130))
        await until(lambda: "BOOKMARK 130" in at.seen)


async def test_large_events_for_a_client_that_does_not_read_hold_the_host_back(
    patient: Callable[[str, float], None],
) -> None:
    patient("QUEUE_BYTES", 1000)
    at = At(default="1")
    at.as_tenant(ACME)
    reply = await at.reply("GET", ALL)
    assert reply.stream is not None
    await settle()
    large = [event("ADDED", pod("acme-default", f"p{n}", 101 + n, word="x" * 300)) for n in range(20)]
    await at.refusing.part("acme-default")[0].put(*large)
    assert isinstance(reply.stream, dispatch._Held)
    assert len(reply.stream._stream._queue) == 1000 // len(large[0])
    await reply.stream.close()
