"""Tunnels at the client's end: bytes both ways, held back both ways, and an end for both ends."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from tests.shell.rawhost import Authority
from vcproxy import server as listener
from vcproxy.core.http import Call, Pipe, Reply, refused
from vcproxy.core.status import forbidden
from vcproxy.drive import Signal
from vcproxy.edge import deadlines
from vcproxy.server import Server, ServerSettings

SHORT = 0.3
ASK = b"GET /exec HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n"


class Far:
    """The host's end of a tunnel; `early` is what it said before anybody was connected."""

    def __init__(self, early: bytes = b"") -> None:
        self.received = bytearray()
        self.closes = self.pauses = self.resumes = 0
        self.peer: Pipe | None = None
        self._early = early

    def connect(self, peer: Pipe) -> None:
        self.peer = peer
        if self._early:
            peer.write(self._early)

    def write(self, data: bytes) -> None:
        self.received += data

    def pause(self) -> None:
        self.pauses += 1

    def resume(self) -> None:
        self.resumes += 1

    def close(self) -> None:
        self.closes += 1

    @property
    def client(self) -> Pipe:
        assert self.peer is not None
        return self.peer


class Switching:
    """Answers with a tunnel to `far` once `go` is set, and refuses everything but /exec."""

    def __init__(self, far: Far, *, at_once: bool = True) -> None:
        self.far = far
        self.targets: list[bytes] = []
        self.go: Signal[None] = Signal()
        if at_once:
            self.go.set(None)

    async def __call__(self, call: Call) -> Reply:
        self.targets.append(call.target)
        with contextlib.suppress(asyncio.CancelledError):
            await self.go
        if call.target != b"/exec" or not call.upgrade:
            return refused(forbidden("no").status)
        return Reply(101, (("Connection", "Upgrade"), ("Upgrade", "SPDY/3.1")), tunnel=self.far)


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "SWEEP", 0.02)
    for name in ("WRITE", "LINGER", "FIRST_BYTE", "HEAD", "BODY"):
        monkeypatch.setattr(deadlines, name, SHORT)


class Slow(Far):
    """It takes what comes bit by bit, with a pause after each."""

    def write(self, data: bytes) -> None:
        super().write(data)
        self.client.pause()
        asyncio.get_running_loop().call_later(0.01, self.client.resume)


def speak_and_go(port: int, tls: ssl.SSLContext, words: bytes) -> None:
    """A client that ends without waiting: asyncio's would wait for the other side's goodbye."""
    with (
        socket.create_connection(("127.0.0.1", port)) as plain,
        tls.wrap_socket(plain, server_hostname="127.0.0.1") as connection,
    ):
        connection.sendall(ASK)
        connection.recv(65536)
        connection.sendall(words)


@asynccontextmanager
async def served(handler: Switching, drain: float = 0.3, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    server = Server(handler, ServerSettings("127.0.0.1", 0, 4096, keepalive=SHORT, drain=drain), tls)
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
        writer.transport.abort()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(3):
        while not holds():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.005)


async def test_bytes_go_both_ways_for_longer_than_any_deadline() -> None:
    far = Far()
    async with served(Switching(far)) as server, client(server) as (reader, writer):
        writer.write(ASK)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n")
        assert b"Content-Length" not in head
        assert b"Transfer-Encoding" not in head
        await asyncio.sleep(2 * SHORT)
        writer.write(b"GET /not-a-request HTTP/1.1\r\n\r\n")
        far.client.write(b"\x00\xff")
        assert await reader.readexactly(2) == b"\x00\xff"
        await until(lambda: bytes(far.received) == b"GET /not-a-request HTTP/1.1\r\n\r\n")


@pytest.mark.parametrize("size", [1_000, 150_000, 400_000, 1_500_000])
async def test_the_last_words_of_a_client_reach_a_slow_far_end_too(size: int) -> None:
    authority = Authority()
    far = Slow()
    async with served(Switching(far), tls=authority.server()) as server:
        await asyncio.to_thread(speak_and_go, server.port, authority.client(), b"x" * size)
        await until(lambda: far.closes == 1)
        assert len(far.received) == size


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("together", [True, False])
async def test_what_either_end_says_early_is_not_lost(at_once: bool, together: bool) -> None:
    far = Far(early=b"from the host")
    handler = Switching(far, at_once=at_once)
    async with served(handler) as server, client(server) as (reader, writer):
        for part in [ASK + b"one two"] if together else [ASK, b"one ", b"two"]:
            writer.write(part)
            await asyncio.sleep(0.02)
        handler.go.set(None)
        assert (await reader.readuntil(b"host")).endswith(b"\r\n\r\nfrom the host")
        await until(lambda: bytes(far.received) == b"one two")


async def test_a_client_that_says_too_much_early_is_held_back_and_nothing_is_lost() -> None:
    far = Far()
    handler = Switching(far, at_once=False)
    async with served(handler) as server, client(server) as (_, writer):
        writer.write(ASK + b"x" * 30_000_000)
        await asyncio.sleep(0.1)
        assert writer.transport.get_write_buffer_size() > 10_000_000
        handler.go.set(None)
        await until(lambda: len(far.received) == 30_000_000)


async def test_what_follows_a_refused_switch_is_never_a_request() -> None:
    """CVE-2018-1002105: the way stays closed."""
    handler = Switching(Far())
    smuggled = b"GET /secret HTTP/1.1\r\nHost: a\r\n\r\n"
    async with served(handler) as server, client(server) as (reader, writer):
        writer.write(ASK.replace(b"/exec", b"/other") + smuggled)
        await asyncio.sleep(0.05)
        writer.write(smuggled)
        received = await asyncio.wait_for(reader.read(-1), 3)
    assert received.startswith(b"HTTP/1.1 403")
    assert received.count(b"HTTP/1.1") == 1
    assert b"Connection: close" in received
    assert handler.targets == [b"/other"]


async def test_a_request_before_the_switch_is_answered_first() -> None:
    far = Far()
    async with served(Switching(far)) as server, client(server) as (reader, writer):
        writer.write(b"GET /first HTTP/1.1\r\nHost: a\r\n\r\n" + ASK + b"early")
        received = await asyncio.wait_for(reader.readuntil(b"SPDY/3.1"), 3)
        assert received.startswith(b"HTTP/1.1 403")
        assert b"HTTP/1.1 101" in received
        await until(lambda: bytes(far.received) == b"early")


async def test_early_bytes_behind_many_requests_are_all_the_tunnels() -> None:
    far = Far()
    handler = Switching(far, at_once=False)
    async with served(handler) as server, client(server) as (_, writer):
        writer.write(b"GET /first HTTP/1.1\r\nHost: a\r\n\r\n" * 1000 + ASK + b"x" * 100_000)
        await asyncio.sleep(0.1)
        writer.write(b"y" * 1_000_000)
        handler.go.set(None)
        await until(lambda: bytes(far.received) == b"x" * 100_000 + b"y" * 1_000_000)
        assert handler.targets == [b"/first"] * 1000 + [b"/exec"]


async def test_a_client_that_goes_away_ends_the_other_end() -> None:
    far = Far()
    async with served(Switching(far)) as server:
        async with client(server) as (reader, writer):
            writer.write(ASK)
            await reader.readuntil(b"\r\n\r\n")
        await until(lambda: far.closes >= 1)
        far.client.write(b"late")
        far.client.close()


async def test_a_client_that_went_away_before_its_tunnel_was_there_ends_the_other_end() -> None:
    far = Far()
    handler = Switching(far, at_once=False)
    async with served(handler) as server:
        async with client(server) as (_, writer):
            writer.write(ASK)
            await until(lambda: handler.targets != [])
        await until(lambda: far.closes == 1)


async def test_what_waits_is_sent_before_a_tunnel_ends() -> None:
    far = Far()
    async with served(Switching(far)) as server, client(server) as (reader, writer):
        writer.write(ASK)
        await reader.readuntil(b"\r\n\r\n")
        far.client.write(b"x" * 5_000_000)
        far.client.close()
        far.client.close()
        assert len(await asyncio.wait_for(reader.read(-1), 3)) == 5_000_000
        await until(lambda: "connections=0" in repr(server))


async def test_a_client_that_reads_nothing_pauses_the_other_end_and_lets_it_go_on() -> None:
    far = Far()
    async with served(Switching(far)) as server, client(server) as (reader, writer):
        writer.write(ASK)
        await reader.readuntil(b"\r\n\r\n")
        written = 0
        while not far.pauses:
            far.client.write(b"x" * 100_000)
            written += 100_000
            assert written < 50_000_000
            await asyncio.sleep(0)
        assert far.resumes == 0
        assert len(await asyncio.wait_for(reader.readexactly(written), 3)) == written
        await until(lambda: far.resumes == 1)


async def test_a_client_is_held_back_while_the_other_end_is_behind() -> None:
    far = Far()
    async with served(Switching(far)) as server, client(server) as (reader, writer):
        writer.write(ASK)
        await reader.readuntil(b"\r\n\r\n")
        far.client.pause()
        far.client.pause()
        writer.write(b"x" * 30_000_000)
        await asyncio.sleep(0.1)
        assert len(far.received) < 1_000_000
        far.client.resume()
        far.client.resume()
        await until(lambda: len(far.received) == 30_000_000)


class Full(Far):
    """Behind as soon as it has been written to, while it is `full`."""

    full = True

    def write(self, data: bytes) -> None:
        super().write(data)
        if self.full:
            self.client.pause()


@pytest.mark.parametrize("early", [1, 30_000_000])
async def test_a_client_whose_early_bytes_fill_the_other_end_is_held_back(early: int) -> None:
    far = Full()
    async with served(Switching(far)) as server, client(server) as (reader, writer):
        writer.write(ASK + b"x" * early)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"y" * 30_000_000)
        await asyncio.sleep(0.1)
        assert 0 < len(far.received) < 1_000_000
        far.full = False
        far.client.resume()
        await until(lambda: len(far.received) == early + 30_000_000)


async def test_a_client_that_is_behind_before_its_tunnel_is_there_holds_the_other_end_back() -> None:
    far = Far(early=b"x" * 30_000_000)
    async with served(Switching(far)) as server, client(server) as (reader, writer):
        writer.write(ASK)
        await until(lambda: far.pauses == 1)
        assert len(await asyncio.wait_for(reader.readuntil(b"x"), 3)) > 0
        await asyncio.wait_for(reader.readexactly(29_999_999), 3)
        await until(lambda: far.resumes == 1)


async def test_a_client_that_reads_nothing_of_a_tunnel_that_has_ended_is_left() -> None:
    far = Far()
    async with served(Switching(far)) as server, client(server) as (reader, writer):
        writer.write(ASK)
        await reader.readuntil(b"\r\n\r\n")
        while not far.pauses:
            far.client.write(b"x" * 100_000)
            await asyncio.sleep(0)
        far.client.close()
        await until(lambda: "connections=0" in repr(server))


async def test_a_drain_lets_tunnels_go_on_until_its_end() -> None:
    far = Far()
    async with served(Switching(far), drain=0.4) as server, client(server) as (reader, writer):
        writer.write(ASK)
        await reader.readuntil(b"\r\n\r\n")
        draining = asyncio.create_task(server.drain())
        await asyncio.sleep(0.1)
        far.client.write(b"still here")
        assert await reader.readexactly(10) == b"still here"
        await asyncio.wait_for(draining, 2)
        await until(lambda: far.closes >= 1)
