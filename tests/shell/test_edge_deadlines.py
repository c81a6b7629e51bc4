"""Clients that are slow, silent or dead: each state of a connection has one deadline, and a trickle wins no time."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from vcproxy import server as listener
from vcproxy.core.framing import chunk
from vcproxy.core.http import Call, Reply, Sink, refused
from vcproxy.core.status import ApiError
from vcproxy.edge import connection, deadlines
from vcproxy.server import Server, ServerSettings

SHORT = 0.2
LONG = 3.0
"""Seconds in which a deadline of SHORT must have been noticed."""
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


class Pushed:
    """A feed that writes once and then whatever it is told."""

    def __init__(self) -> None:
        self.sink: Sink | None = None
        self.stops = self.drains = self.resumes = 0

    def start(self, sink: Sink) -> None:
        self.sink = sink
        sink.write(chunk(b"begun\n"))

    def resume(self) -> None:
        self.resumes += 1

    def drain(self) -> None:
        self.drains += 1
        assert self.sink is not None
        self.sink.write(chunk(b"last\n"))
        self.sink.end()

    def stop(self) -> None:
        self.stops += 1


class Handler:
    def __init__(self) -> None:
        self.feed = Pushed()
        self.owner = ""

    async def __call__(self, call: Call) -> Reply:
        try:
            call.claim(self.owner or call.target.decode())
            if call.target == b"/feed":
                return Reply(200, feed=self.feed)
            return Reply(200, body=await call.read(1 << 20))
        except ApiError as error:
            return refused(error.status)


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "SWEEP", 0.02)
    for name in ("FIRST_BYTE", "HEAD", "BODY", "WRITE", "LINGER"):
        monkeypatch.setattr(deadlines, name, SHORT)


@asynccontextmanager
async def served(handler: Handler, **settings: float) -> AsyncIterator[Server]:
    keepalive, drain = settings.get("keepalive", 30.0), settings.get("drain", 1.0)
    most, own = int(settings.get("connections", 100)), int(settings.get("owner_connections", 100))
    server = Server(
        handler,
        ServerSettings("127.0.0.1", 0, 4096, keepalive, drain, most, own),
        None,
    )
    await server.start()
    try:
        yield server
    finally:
        await server.drain()


@asynccontextmanager
async def client(server: Server) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def end(reader: asyncio.StreamReader) -> bytes:
    """What comes until the server ends the connection."""
    with contextlib.suppress(ConnectionError):
        return await asyncio.wait_for(reader.read(-1), LONG)
    return b""


async def code(reader: asyncio.StreamReader) -> int:
    """The code of the next answer, which is read whole."""
    head = await reader.readuntil(b"\r\n\r\n")
    await reader.readexactly(int(head.partition(b"Content-Length: ")[2].split(b"\r\n")[0]))
    return int(head.split()[1])


async def trickle(writer: asyncio.StreamWriter, raw: bytes) -> None:
    """A byte each fifth of a deadline, for ever."""
    with contextlib.suppress(ConnectionError):
        for at in range(len(raw)):
            writer.write(raw[at : at + 1])
            await writer.drain()
            await asyncio.sleep(SHORT / 5)


@pytest.mark.parametrize("sent", [b"", b"GET / HT"], ids=["nothing", "a part of a head"])
async def test_who_says_nothing_or_stops_in_a_head_is_left(sent: bytes) -> None:
    async with served(Handler()) as server, client(server) as (reader, writer):
        writer.write(sent)
        assert await end(reader) == b""


async def test_a_connection_whose_deadline_cannot_be_kept_costs_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = connection.Connection.expired
    failed: list[connection.Connection] = []

    def expired(one: connection.Connection) -> None:
        if not failed:
            failed.append(one)
            raise ValueError("a fault of the program")
        kept(one)

    monkeypatch.setattr(connection.Connection, "expired", expired)
    async with served(Handler()) as server:
        for _ in range(2):
            async with client(server) as (reader, _writer):
                assert await end(reader) == b""
    assert len(failed) == 1


async def test_a_head_that_trickles_wins_no_time() -> None:
    async with served(Handler()) as server, client(server) as (reader, writer):
        trickling = asyncio.create_task(trickle(writer, b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 100))
        assert await end(reader) == b""
        trickling.cancel()


async def test_a_body_that_trickles_is_a_408() -> None:
    async with served(Handler()) as server, client(server) as (reader, writer):
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n")
        trickling = asyncio.create_task(trickle(writer, b"x" * 1000))
        received = await asyncio.wait_for(
            reader.readuntil(b'"code":408}'), LONG
        )  # it goes on sending: a reset may follow
        head, _, body = received.partition(b"\r\n\r\n")
        assert b" 408 " in head.split(b"\r\n")[0]
        assert json.loads(body)["reason"] == "Timeout"
        trickling.cancel()


async def test_an_idle_connection_is_kept_for_its_time_only() -> None:
    async with served(Handler(), keepalive=SHORT) as server, client(server) as (reader, writer):
        writer.write(GET)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        writer.write(GET)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        assert await end(reader) == b""


async def test_a_feed_whose_client_reads_nothing_is_cut_and_stopped_once() -> None:
    handler = Handler()
    async with served(handler) as server, client(server) as (_, writer):
        writer.write(b"GET /feed HTTP/1.1\r\nHost: a\r\n\r\n")
        async with asyncio.timeout(LONG):
            while handler.feed.sink is None:  # noqa: ASYNC110 - the test has no event to wait for
                await asyncio.sleep(0.01)
            while not handler.feed.sink.blocked:
                handler.feed.sink.write(chunk(b"x" * 65536))
                await asyncio.sleep(0)
            while not handler.feed.stops:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    assert handler.feed.stops == 1


async def test_a_feed_of_a_client_that_reads_on_goes_on() -> None:
    handler = Handler()
    async with served(handler) as server, client(server) as (reader, writer):
        writer.write(b"GET /feed HTTP/1.1\r\nHost: a\r\n\r\n")
        await reader.readuntil(b"begun\n")
        assert handler.feed.sink is not None
        written = 0
        while not handler.feed.sink.blocked:
            handler.feed.sink.write(chunk(b"x" * 65536))
            written += 65536
            await asyncio.sleep(0)
        got = 0
        async with asyncio.timeout(LONG):
            while got < written:
                got += (await reader.read(65536)).count(b"x")
        assert handler.feed.resumes >= 1
        assert handler.feed.stops == 0


async def test_a_drain_lets_a_feed_say_its_last_word_and_ends_what_is_idle() -> None:
    handler = Handler()
    async with served(handler) as server, client(server) as (fed, asking), client(server) as (idle, writer):
        asking.write(b"GET /feed HTTP/1.1\r\nHost: a\r\n\r\n")
        writer.write(GET)
        await fed.readuntil(b"begun\n")
        await idle.readuntil(b"\r\n\r\n")
        draining = asyncio.create_task(server.drain())
        assert (await end(fed)).endswith(chunk(b"last\n") + b"0\r\n\r\n")
        assert await end(idle) == b""
        await draining
    assert (handler.feed.drains, handler.feed.stops) == (1, 1)


async def test_a_request_under_way_is_finished_by_a_drain_and_told_that_it_was_the_last() -> None:
    async with served(Handler()) as server, client(server) as (reader, writer):
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nh")
        await asyncio.sleep(0.05)
        draining = asyncio.create_task(server.drain())
        await asyncio.sleep(0.05)
        writer.write(b"i")
        head, _, body = (await end(reader)).partition(b"\r\n\r\n")
        assert (b"Connection: close" in head, body) == (True, b"hi")
        await draining


async def test_too_many_connections_are_told_to_come_again() -> None:
    async with served(Handler(), connections=2) as server, client(server), client(server):
        await asyncio.sleep(0.05)
        async with client(server) as (reader, _):
            head, _, body = (await end(reader)).partition(b"\r\n\r\n")
            assert b" 429 " in head.split(b"\r\n")[0]
            assert b"Retry-After: 1" in head
            assert json.loads(body)["reason"] == "TooManyRequests"


async def test_an_owner_has_its_share_of_connections_and_others_theirs() -> None:
    handler = Handler()
    handler.owner = "acme"
    async with served(handler, owner_connections=1) as server, client(server) as (first, one):
        one.write(GET)
        assert b" 200 " in await first.readuntil(b"\r\n\r\n")
        async with client(server) as (second, two):
            two.write(GET)
            assert await code(second) == 429
            handler.owner = "globex"
            two.write(GET)
            assert await code(second) == 200
