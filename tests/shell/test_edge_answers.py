"""Answers on the wire: their order and framing, how a connection ends; what stands behind an answer ends once."""

import asyncio
import contextlib
import json
import logging
import re
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.shell.rawhost import Authority
from vcproxy import server as listener
from vcproxy.core.framing import chunk
from vcproxy.core.http import Call, Reply, Sink, refused
from vcproxy.core.status import ApiError
from vcproxy.drive import Signal
from vcproxy.edge import connection, deadlines, pipelining
from vcproxy.edge.call import ClientCall
from vcproxy.server import Server, ServerSettings

Answers = Callable[[Call], Awaitable[Reply]]
SHORT = 0.5
LINE = b"HTTP/1.1 200 OK\r\n"
LARGE = 100_000_000


def request(target: str = "/", method: str = "GET", *headers: str, body: bytes = b"") -> bytes:
    lines = [f"{method} {target} HTTP/1.1", "Host: a", *headers, *([f"Content-Length: {len(body)}"] if body else [])]
    return "".join(f"{line}\r\n" for line in lines).encode() + b"\r\n" + body


async def echo(call: Call) -> Reply:
    try:
        return Reply(200, body=call.target + b" " + await call.read(1000) + b"\n")
    except ApiError as error:
        return refused(error.status)


@asynccontextmanager
async def served(answers: Answers, tls: Any = None, drain: float = 0.5) -> AsyncIterator[Server]:
    server = Server(answers, ServerSettings("127.0.0.1", 0, 4096, drain=drain), tls)
    await server.start()
    try:
        yield server
    finally:
        await server.drain()


class Client:
    """One connection; `limit` bounds what it reads ahead."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, *parts: bytes, pause: float = 0.0) -> None:
        for part in parts:
            self.writer.write(part)
            await self.writer.drain()
            await asyncio.sleep(pause)

    async def until(self, end: bytes) -> bytes:
        return await asyncio.wait_for(self.reader.readuntil(end), 3)

    async def all(self) -> bytes:
        """All until the server ends the connection. A reset is an error."""
        return await asyncio.wait_for(self.reader.read(-1), 5)


@asynccontextmanager
async def client(server: Server, tls: Any = None, *, small: bool = False) -> AsyncIterator[Client]:
    """A `small` one takes few bytes in before they are read."""
    name, sock = "127.0.0.1" if tls else None, socket.socket()
    if small:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", server.port))
    limit = 1000 if small else 65536
    reader, writer = await asyncio.open_connection(sock=sock, ssl=tls, server_hostname=name, limit=limit)
    try:
        yield Client(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def asked(answers: Answers, *parts: bytes, pause: float = 0.0) -> bytes:
    """All that comes back on one connection that the server ends."""
    async with served(answers) as server, client(server) as one:
        await one.send(*parts, pause=pause)
        return await one.all()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(3):
        while not holds():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.005)


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "SWEEP", 0.02)
    monkeypatch.setattr(deadlines, "WRITE", SHORT)
    monkeypatch.setattr(deadlines, "LINGER", SHORT / 2)


# One after the other -------------------------------------------------------------------------------------------------


def lines(received: bytes) -> list[bytes]:
    return [line for line in received.splitlines() if line.startswith((b"HTTP/1.1", b"/"))]


@pytest.mark.parametrize("pause", [0.0, 0.02])
async def test_what_is_sent_before_the_answer_is_answered_in_order(pause: float) -> None:
    async def slow_first(call: Call) -> Reply:
        await asyncio.sleep(0.05 if call.target == b"/1" else 0)
        return await echo(call)

    parts = [request("/1"), request("/2", "POST", body=b"hi"), request("/3"), request("/4", "GET", "Connection: close")]
    received = await asked(slow_first, *([b"".join(parts)] if not pause else parts), pause=pause)
    ok = b"HTTP/1.1 200 OK"
    assert lines(received) == [ok, b"/1 ", ok, b"/2 hi", ok, b"/3 ", ok, b"/4 "]
    assert received.count(b"Connection: close") == 1


@pytest.mark.parametrize("slow", [0.0, 0.05])
async def test_what_stands_before_a_malformed_request_is_answered_and_what_follows_never(slow: float) -> None:
    async def slowly(call: Call) -> Reply:
        await asyncio.sleep(slow)
        return await echo(call)

    raw = request("/1") + request("/2") + b"GET /3 HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n" + request("/4")
    received = await asked(slowly, raw)
    assert [line.split()[0] if line.startswith(b"/") else line.split()[1] for line in lines(received)] == [
        b"200", b"/1", b"200", b"/2", b"400",
    ]  # fmt: skip


async def test_a_body_that_turns_out_malformed_is_the_refusal_of_its_request() -> None:
    head = request("/1", "POST", "Transfer-Encoding: chunked")
    received = await asked(echo, request("/0"), head + b"2\r\nhi\r\n", b"zz\r\n" + request("/2"), pause=0.02)
    assert [line.split()[1] for line in lines(received) if line.startswith(b"HTTP")] == [b"200", b"400"]
    assert b"/2" not in received


async def test_after_close_nothing_is_read_as_a_request() -> None:
    targets: list[bytes] = []

    async def noting(call: Call) -> Reply:
        targets.append(call.target)
        return await echo(call)

    received = await asked(noting, request("/1", "GET", "Connection: close") + request("/2"))
    assert targets == [b"/1"]
    assert b"Connection: close" in received


@pytest.mark.parametrize("slow", [False, True])
async def test_any_number_of_requests_at_once_is_answered_in_order(slow: bool) -> None:
    async def answering(call: Call) -> Reply:
        if slow:
            await asyncio.sleep(0)
        return await echo(call)

    raw = b"".join(request(f"/{number}") for number in range(500)) + request("/last", "GET", "Connection: close")
    received = await asked(answering, raw)
    assert re.findall(rb"/(\w+) ", received) == [*(b"%d" % number for number in range(500)), b"last"]


@pytest.mark.parametrize("size", [0, 1000, 60_000, 200_000])
async def test_what_waits_behind_a_long_answer_is_bounded_and_answered_in_the_end(size: int) -> None:
    feed = Feed()
    count = 20_000 if not size else 30_000_000 // size

    async def answering(call: Call) -> Reply:
        return (
            Reply(200, feed=feed) if call.target == b"/watch" else Reply(200, body=b"%d." % len(await call.read(LARGE)))
        )

    async with served(answering) as server, client(server) as one:
        one.writer.write(request("/watch") + request("/", "POST", body=b"x" * size) * count)
        await one.until(b"begun\r\n")
        await asyncio.sleep(0.2)
        (found,) = server._connections
        waiting = [call for call in found._calls if isinstance(call, ClientCall)]
        assert sum(call.weight for call in waiting) <= pipelining.WEIGHT + 2 * pipelining.SLICE
        assert len(waiting) < pipelining.COUNT + pipelining.SLICE // 30
        assert len(found._unread or b"") < 1 << 20
        assert one.writer.transport.get_write_buffer_size() > (20_000_000 if size else -1)
        assert feed.sink is not None
        feed.sink.end()
        received = bytearray()
        async with asyncio.timeout(10):
            while received.count(b"\r\n\r\n%d." % size) < count:
                received += await one.reader.read(1 << 20)
        assert received.count(LINE) == count


async def test_nothing_behind_a_refused_switch_is_a_request_however_much_stands_before_it() -> None:
    targets: list[bytes] = []

    async def noting(call: Call) -> Reply:
        targets.append(call.target)
        await asyncio.sleep(0)
        return await echo(call)

    switch = request("/switch", "GET", "Connection: Upgrade", "Upgrade: x")
    received = await asked(noting, request("/1") * 2000 + switch + request("/never") * 3000)
    assert received.count(LINE) == len(targets) == 2001
    assert targets[-1] == b"/switch"


# Bodies --------------------------------------------------------------------------------------------------------------


async def test_a_client_that_holds_its_body_back_is_told_to_go_on_only_when_somebody_reads_it() -> None:
    async def picky(call: Call) -> Reply:
        return await echo(call) if call.target == b"/read" else Reply(401, body=b"who are you?\n")

    expecting = ("POST", "Expect: 100-continue", "Content-Length: 2")
    async with served(picky) as server, client(server) as one:
        await one.send(request("/read", *expecting))
        assert await one.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        await one.send(b"hi")
        assert (await one.until(b"/read hi\n")).startswith(LINE)
        await one.send(request("/no", *expecting))
        received = await one.until(b"who are you?\n")
        assert received.startswith(b"HTTP/1.1 401")
        assert b"100 Continue" not in received
        assert b"Connection: close" in received


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_client_in_the_middle_of_a_body_that_nobody_wants_can_read_its_answer(chunked: bool) -> None:
    framing = "Transfer-Encoding: chunked" if chunked else "Content-Length: 3000000"
    piece = chunk(b"x" * 100_000) if chunked else b"x" * 100_000
    received = await asked(echo, request("/", "POST", framing), *[piece] * 30)
    assert received.startswith(b"HTTP/1.1 413")
    assert json.loads(received.partition(b"\r\n\r\n")[2])["code"] == 413
    assert b"Connection: close" in received


async def test_a_client_that_never_ends_its_unwanted_body_is_left() -> None:
    async def no(call: Call) -> Reply:
        return Reply(403, body=b"no")

    async with served(no) as server, client(server) as one:
        await one.send(request("/", "POST", "Transfer-Encoding: chunked"))
        begin = asyncio.get_running_loop().time()
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(3):
                while True:
                    await one.send(chunk(b"x" * 1000), pause=0.01)
                    if one.reader.at_eof() or repr(server).startswith("<server connections=0"):
                        break
        assert asyncio.get_running_loop().time() - begin < 2


async def test_a_body_nobody_asked_for_yet_is_held_back() -> None:
    go: Signal[None] = Signal()

    async def late(call: Call) -> Reply:
        await go
        return Reply(200, body=b"%d" % len(await call.read(100_000_000)))

    async with served(late) as server, client(server) as one:
        one.writer.write(request("/", "POST", "Content-Length: 60000000") + b"x" * 60_000_000)
        await asyncio.sleep(0.2)
        assert one.writer.transport.get_write_buffer_size() > 30_000_000
        go.set(None)
        assert (await one.until(b"60000000")).startswith(LINE)


# Framing -------------------------------------------------------------------------------------------------------------


async def whole(call: Call) -> Reply:
    code, body = {b"/304": (304, b"ignored"), b"/204": (204, b"")}.get(call.target, (200, b"text"))
    return Reply(code, (("X", "y"),), body)


async def test_answers_without_a_body_have_none_and_the_next_one_is_understood() -> None:
    parts = [request("/", "HEAD"), request("/304"), request("/204"), request("/", "GET", "Connection: close")]
    received = await asked(whole, b"".join(parts))
    heads = received.split(b"\r\n\r\n")
    assert [head.split(b" ")[1] for head in heads[:4]] == [b"200", b"304", b"204", b"200"]
    assert heads[4:] == [b"text"]
    assert b"Content-Length: 4" in heads[0]
    assert b"Content-Length" not in heads[2]  # RFC 9110 8.6


async def test_nothing_in_a_header_makes_a_second_line() -> None:
    async def injected(call: Call) -> Reply:
        return Reply(200, (("Location", "/a\r\nSet-Cookie: x=y\n\nbody\0\x7f"), ("Warning", "\N{SNOWMAN}\tä")), b"")

    received = await asked(injected, request("/", "GET", "Connection: close"))
    head, _, body = received.partition(b"\r\n\r\n")
    assert [line.partition(b":")[0] for line in head.split(b"\r\n")] == [
        b"HTTP/1.1 200 OK", b"Location", b"Warning", b"Date", b"Connection", b"Content-Length",
    ]  # fmt: skip
    assert b"\n" not in head.replace(b"\r\n", b"")
    assert b"Warning: ?\t\xe4" in head
    assert body == b""


async def test_a_handler_that_fails_cuts_its_connection_and_logs_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    async def broken(call: Call) -> Reply:
        if call.target == b"/feed":
            return Reply(200, feed=Broken())
        raise KeyError("k")

    async with served(broken) as server:
        for target in ("/", "/feed"):
            async with client(server) as one:
                await one.send(request(target, "GET", "Authorization: Bearer s3cret"))
                with contextlib.suppress(ConnectionError):
                    assert b"0\r\n\r\n" not in await one.all()
    assert "s3cret" not in caplog.text
    assert "KeyError" in caplog.text


class Broken:
    """A feed that cannot begin."""

    def start(self, sink: Sink) -> None:
        raise KeyError("start")

    def resume(self) -> None: ...

    def drain(self) -> None: ...

    def stop(self) -> None: ...


# What stands behind an answer ends once ------------------------------------------------------------------------------


class Feed:
    def __init__(self) -> None:
        self.sink: Sink | None = None
        self.stops = 0

    def start(self, sink: Sink) -> None:
        self.sink = sink
        sink.write(chunk(b"begun"))

    def resume(self) -> None: ...

    def drain(self) -> None:
        assert self.sink is not None
        self.sink.end()

    def stop(self) -> None:
        self.stops += 1


class Stream:
    def __init__(self, *data: bytes, error: Exception | None = None, last: bool = True) -> None:
        self.closes = 0
        self._data, self._error, self._last = data, error, last

    async def chunks(self) -> AsyncIterator[bytes]:
        for data in self._data:
            yield data
        if self._error is not None:
            raise self._error
        if not self._last:
            await asyncio.Event().wait()

    async def close(self) -> None:
        self.closes += 1


class Open:
    """Answers each request with the same reply once `go` is set."""

    def __init__(self, reply: Reply, *, at_once: bool = True) -> None:
        self.reply = reply
        self.called = 0
        self.go: Signal[None] = Signal()
        if at_once:
            self.go.set(None)

    async def __call__(self, call: Call) -> Reply:
        self.called += 1
        with contextlib.suppress(asyncio.CancelledError):
            await self.go
        return self.reply


async def test_a_feed_that_ends_leaves_the_connection_for_the_next_request() -> None:
    feed = Feed()
    async with served(Open(Reply(200, feed=feed))) as server, client(server) as one:
        for number in range(1, 3):
            await one.send(request())
            await one.until(b"begun\r\n")
            assert feed.sink is not None
            feed.sink.end()
            assert await one.until(b"0\r\n\r\n")
            assert feed.stops == number


async def test_a_feed_that_aborts_leaves_no_last_chunk() -> None:
    feed = Feed()
    async with served(Open(Reply(200, feed=feed))) as server, client(server) as one:
        await one.send(request())
        await one.until(b"begun\r\n")
        assert feed.sink is not None
        feed.sink.abort()
        feed.sink.abort()
        feed.sink.write(chunk(b"late"))
        feed.sink.end()
        with contextlib.suppress(ConnectionError):
            assert b"0\r\n\r\n" not in await one.all()
        await until(lambda: feed.stops > 0)
        await asyncio.sleep(0.02)
    assert feed.stops == 1


async def test_a_feed_of_a_client_that_goes_away_is_stopped_once_and_may_still_write() -> None:
    feed = Feed()
    async with served(Open(Reply(200, feed=feed))) as server:
        async with client(server) as one:
            await one.send(request())
            await one.until(b"begun\r\n")
        await until(lambda: feed.stops == 1)
        assert feed.sink is not None
        feed.sink.write(chunk(b"late"))
        feed.sink.end()
        feed.sink.abort()
    assert feed.stops == 1


@pytest.mark.parametrize("kind", ["feed", "stream"])
async def test_an_answer_that_comes_when_its_client_has_gone_is_ended_unused(kind: str) -> None:
    feed, stream = Feed(), Stream(b"x", last=False)
    handler = Open(Reply(200, feed=feed) if kind == "feed" else Reply(200, stream=stream), at_once=False)
    async with served(handler) as server:
        async with client(server) as one:
            await one.send(request())
            await until(lambda: handler.called == 1)
        await until(lambda: feed.stops + stream.closes == 1)  # it took the cancellation for its signal
        await until(lambda: "connections=0" in repr(server))
    assert feed.stops + stream.closes == 1


async def test_a_feed_that_begins_while_all_are_ended_ends_as_well() -> None:
    feed = Feed()
    handler = Open(Reply(200, feed=feed), at_once=False)
    async with served(handler, drain=3.0) as server, client(server) as one:
        await one.send(request())
        await until(lambda: handler.called == 1)
        draining = asyncio.create_task(server.drain())
        await asyncio.sleep(0.4)
        handler.go.set(None)
        assert (await one.all()).endswith(b"5\r\nbegun\r\n0\r\n\r\n")
        await asyncio.wait_for(draining, 1)
    assert feed.stops == 1


async def begun_in_a_drain(reply: Reply, *, drain: float) -> bytes:
    """What a client gets whose answer begins when the drain has begun."""
    handler = Open(reply, at_once=False)
    async with served(handler, drain=drain) as server, client(server) as one:
        await one.send(request())
        await until(lambda: handler.called == 1)
        draining = asyncio.create_task(server.drain())
        await asyncio.sleep(SHORT)
        handler.go.set(None)
        received = await asyncio.wait_for(one.all(), 1)
        await asyncio.wait_for(draining, 1)
    return received


async def test_a_watch_that_begins_while_all_are_ended_says_its_first_word_and_ends_cleanly() -> None:
    stream = Stream(b"begun", last=False)
    received = await begun_in_a_drain(Reply(200, stream=stream), drain=5.0)
    assert received.endswith(b"5\r\nbegun\r\n0\r\n\r\n")
    assert stream.closes == 1


async def test_a_download_that_begins_while_all_are_ended_is_whole() -> None:
    stream = Download()
    asyncio.get_running_loop().call_later(2 * SHORT, stream.go.set_result, None)
    received = await begun_in_a_drain(Reply(200, stream=stream, finite=True), drain=5.0)
    assert received.endswith(b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")


async def test_a_client_that_is_let_in_while_all_are_ended_and_says_nothing_holds_up_nobody() -> None:
    authority = Authority()
    handler = Open(Reply(200), at_once=False)
    async with served(handler, authority.server(), drain=5.0) as server, client(server, authority.client()) as one:
        await one.send(request())
        await until(lambda: handler.called == 1)
        _, late = await asyncio.open_connection("127.0.0.1", server.port)
        await asyncio.sleep(0.05)
        draining = asyncio.create_task(server.drain())
        await asyncio.sleep(0)
        await late.start_tls(authority.client(), server_hostname="127.0.0.1")
        await until(lambda: "connections=2" in repr(server))
        handler.go.set(None)
        await one.all()
        await asyncio.wait_for(draining, 2)
        late.transport.abort()


class Flood(Stream):
    """More than any client takes that does not read."""

    async def chunks(self) -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 65536
            await asyncio.sleep(0)


@pytest.mark.parametrize("leisurely", [False, True])
async def test_a_client_that_reads_no_more_of_a_stream_is_cut_soon_unless_people_read_it(leisurely: bool) -> None:
    stream = Flood()
    async with served(Open(Reply(200, stream=stream, leisurely=leisurely))) as server, client(server) as one:
        await one.send(request())
        await until(lambda: "blocked" in repr(tuple(server._connections)))
        if leisurely:
            await asyncio.sleep(4 * SHORT)
            assert stream.closes == 0
        else:
            await until(lambda: stream.closes == 1)


async def test_a_stream_that_ends_is_closed_and_leaves_the_connection() -> None:
    stream = Stream(b"one", b"", b"two")
    async with served(Open(Reply(200, stream=stream))) as server, client(server) as one:
        for _ in range(2):
            await one.send(request())
            assert (await one.until(b"0\r\n\r\n")).endswith(b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")
        assert stream.closes == 2


async def test_a_stream_that_breaks_off_leaves_no_last_chunk() -> None:
    stream = Stream(b"one", error=ValueError("s3cret"))
    async with served(Open(Reply(200, stream=stream))) as server, client(server) as one:
        await one.send(request())
        with contextlib.suppress(ConnectionError):
            assert b"0\r\n\r\n" not in await one.all()
        await until(lambda: stream.closes == 1)


class Download:
    """A stream with an end of its own, that comes when it is let."""

    def __init__(self) -> None:
        self.go: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.closed = False

    async def chunks(self) -> AsyncIterator[bytes]:
        yield b"one"
        await self.go
        yield b"two"

    async def close(self) -> None:
        self.closed = True


async def test_a_download_that_ends_within_the_drain_is_whole() -> None:
    stream = Download()
    async with served(Open(Reply(200, stream=stream, finite=True)), drain=3.0) as server, client(server) as one:
        await one.send(request())
        await one.until(b"one\r\n")
        draining = asyncio.create_task(server.drain())
        await asyncio.sleep(0.1)
        stream.go.set_result(None)
        assert (await one.all()).endswith(b"3\r\ntwo\r\n0\r\n\r\n")
        await asyncio.wait_for(draining, 1)
    assert stream.closed


async def test_a_download_that_outlasts_the_drain_does_not_look_whole() -> None:
    stream = Download()
    async with served(Open(Reply(200, stream=stream, finite=True)), drain=0.2) as server, client(server) as one:
        await one.send(request())
        await one.until(b"one\r\n")
        await asyncio.wait_for(server.drain(), 1)
        with contextlib.suppress(ConnectionError):
            assert b"0\r\n\r\n" not in await one.all()
        await until(lambda: stream.closed)


@pytest.mark.parametrize("how", ["drain", "connection_lost"])
async def test_a_stream_that_is_ended_before_its_first_step_is_closed(how: str) -> None:
    stream = Stream(b"one", last=False)
    found: list[connection.Connection] = []
    handler = Open(Reply(200, stream=stream), at_once=False)
    async with served(handler) as server, client(server) as one:
        await one.send(request())
        await until(lambda: handler.called == 1)
        found += server._connections
        server.draining = how == "drain"
        handler.go.set(None)  # the task of the stream is there and has not run
        found[0].drain() if how == "drain" else one.writer.transport.abort()
        if how == "drain":
            assert (await one.all()).endswith(b"0\r\n\r\n")
        else:
            found[0].abort()
        await until(lambda: stream.closes == 1)
        await asyncio.sleep(0.02)
    assert stream.closes == 1


async def test_what_is_claimed_for_a_connection_that_is_gone_is_not_counted() -> None:
    go: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    calls: list[Call] = []

    async def claiming(call: Call) -> Reply:
        calls.append(call)
        with contextlib.suppress(asyncio.CancelledError):
            await go
        call.claim("acme")
        return Reply(200)

    async with served(claiming) as server:
        async with client(server) as one:
            await one.send(request())
            await until(lambda: len(calls) == 1)
        await until(lambda: "connections=0" in repr(server))
        assert repr(server) == "<server connections=0 owners=0>"


# Slow clients get all of it, dead ones are left ----------------------------------------------------------------------

LARGE = 2_000_000


async def large(call: Call) -> Reply:
    return Reply(200, body=b"x" * LARGE)


@asynccontextmanager
async def served_small(answers: Answers, tls: Any = None) -> AsyncIterator[Server]:
    """A listener whose connections leave little to the kernel."""
    async with served(answers, tls) as server:
        assert server._listener is not None
        server._listener.sockets[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16384)
        yield server


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
async def test_a_slow_client_reads_its_last_answer_to_the_end(secure: bool) -> None:
    """Slower than every deadline, but it goes on: the answer is not cut short because it was the last."""
    authority = Authority()
    begin = asyncio.get_running_loop().time()
    async with (
        served_small(large, authority.server() if secure else None) as server,
        client(server, authority.client() if secure else None, small=True) as one,
    ):
        await one.send(request("/", "GET", "Connection: close"))
        assert b"Content-Length: %d" % LARGE in await one.until(b"\r\n\r\n")
        size = 0
        while piece := await asyncio.wait_for(one.reader.read(20_000), 3):
            size += len(piece)
            await asyncio.sleep(0.01)
        assert size == LARGE
    assert asyncio.get_running_loop().time() - begin > 2 * SHORT


@pytest.mark.parametrize("wanted", ["close", "keep-alive"])
async def test_a_client_that_reads_nothing_is_left_whether_its_connection_was_to_end_or_not(wanted: str) -> None:
    async with served_small(large) as server, client(server, small=True) as one:
        await one.send(request("/", "GET", f"Connection: {wanted}"))
        await until(lambda: "connections=1" in repr(server))
        await until(lambda: "connections=0" in repr(server))


@pytest.mark.parametrize("asking", ["Connection: close", "Connection: Upgrade\r\nUpgrade: SPDY/3.1"])
async def test_the_last_answer_over_tls_is_followed_by_the_end_at_once(asking: str) -> None:
    authority = Authority()
    trust = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
    async with served(echo, authority.server()) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=trust, server_hostname="localhost")
        writer.write(request("/last", "GET", asking))
        received = await asyncio.wait_for(reader.read(-1), 1.5)
        assert received.endswith(b"/last \n")
        writer.close()
