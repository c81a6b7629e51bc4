"""The listener over loopback: what it takes, what it refuses, how it ends."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from vcproxy.core.http import Call, Reply
from vcproxy.server import Server, ServerSettings


class Endless:
    """A stream that goes on until it is closed."""

    def __init__(self, chunk: bytes = b"tick\n", pause: float = 0.01) -> None:
        self.closed = asyncio.Event()
        self.sent = 0
        self._chunk, self._pause = chunk, pause

    async def chunks(self) -> AsyncIterator[bytes]:
        while True:
            self.sent += 1
            yield self._chunk
            await asyncio.sleep(self._pause)

    async def close(self) -> None:
        self.closed.set()


class Handler:
    """Answers with what it was sent; `/stream` with an endless stream, `/hang` never."""

    def __init__(self) -> None:
        self.stream = Endless()
        self.cancelled = asyncio.Event()
        self.calls = 0

    async def __call__(self, call: Call) -> Reply:
        self.calls += 1
        if call.target == b"/stream":
            return Reply(200, stream=self.stream)
        if call.target == b"/hang":
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancelled.set()
                raise
        if call.target == b"/unread":
            return Reply(401, body=b"no")
        body = await call.read(1000)
        return Reply(200, (("Content-Type", "text/plain"),), call.target + b" " + body)


@asynccontextmanager
async def served(handler: Handler) -> AsyncIterator[Server]:
    server = Server(handler, ServerSettings("127.0.0.1", 0, 4096, drain=1.0), None)
    await server.start()
    try:
        yield server
    finally:
        await server.drain()


async def exchange(server: Server, *parts: bytes, pause: float = 0.0) -> bytes:
    """Everything that comes back until the server closes, or until it is silent for a while."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    received = b""
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(pause)
        with contextlib.suppress(TimeoutError):
            while chunk := await asyncio.wait_for(reader.read(65536), 0.5):
                received += chunk
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    return received


@pytest.mark.parametrize(
    "raw",
    [
        b"NONSENSE\r\n\r\n",
        b"GET s3cret HTTP/1.1\x01\r\n\r\n",
        b"GET / HTTP/1.1\r\ns3cret header: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: s3cret\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: s3cret" + b"a" * 9000 + b"\r\n\r\n",
    ],
)
async def test_what_is_no_http_gets_one_status_without_an_echo(raw: bytes) -> None:
    handler = Handler()
    async with served(handler) as server:
        received = await exchange(server, raw)
    head, _, body = received.partition(b"\r\n\r\n")
    assert head.split(b"\r\n")[0].split()[1] == b"400"
    assert json.loads(body)["kind"] == "Status"
    assert b"s3cret" not in received
    assert b"server:" not in head.lower()
    assert handler.calls == 0


async def test_a_request_may_come_byte_by_byte_and_many_in_one_go() -> None:
    one = b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi"
    async with served(Handler()) as server:
        slowly = await exchange(server, *(one[i : i + 1] for i in range(len(one))))
        assert slowly.endswith(b"/a hi")
        both = await exchange(server, one + one.replace(b"/a", b"/b"))
    assert both.index(b"/a hi") < both.index(b"/b hi")


async def test_a_chunked_body_is_read_whole_and_a_long_one_refused() -> None:
    head = b"POST /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with served(Handler()) as server:
        assert b"/c hithere" in await exchange(server, head + b"2\r\nhi\r\n5\r\nthere\r\n0\r\n\r\n")


async def test_a_client_that_waits_for_continue_gets_it() -> None:
    head = b"POST /e HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
    async with served(Handler()) as server:
        received = await exchange(server, head, b"hi", pause=0.1)
    assert received.startswith(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert received.endswith(b"/e hi")


async def test_a_body_that_nobody_read_ends_the_connection() -> None:
    smuggled = (
        b"POST /unread HTTP/1.1\r\nHost: x\r\nContent-Length: 9000\r\n\r\nGET /second HTTP/1.1\r\nHost: x\r\n\r\n"
    )
    handler = Handler()
    async with served(handler) as server:
        received = await exchange(server, smuggled)
    assert b"401" in received.split(b"\r\n")[0]
    assert handler.calls == 1


async def test_a_client_that_goes_away_ends_its_stream_and_its_request() -> None:
    handler = Handler()
    async with served(handler) as server:
        for target, ended in ((b"/stream", handler.stream.closed), (b"/hang", handler.cancelled)):
            _, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(b"GET " + target + b" HTTP/1.1\r\nHost: x\r\n\r\n")
            await asyncio.sleep(0.1)
            writer.close()
            await asyncio.wait_for(ended.wait(), 5)


async def test_a_client_that_does_not_read_holds_the_stream_back() -> None:
    handler = Handler()
    handler.stream = Endless(b"x" * 65536, 0.0)
    async with served(handler) as server:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1024)
        writer.write(b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n")
        await asyncio.sleep(0.6)
        before = handler.stream.sent
        await asyncio.sleep(0.4)
        assert handler.stream.sent - before <= 2
        writer.close()
        await asyncio.wait_for(handler.stream.closed.wait(), 5)


async def test_drain_ends_streams_with_a_clean_last_chunk_and_takes_nobody_new() -> None:
    handler = Handler()
    async with served(handler) as server:
        port = server.port
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n")
        await asyncio.sleep(0.1)
        draining = asyncio.create_task(server.drain())
        received = await asyncio.wait_for(reader.read(-1), 5)
        await draining
        assert received.endswith(b"0\r\n\r\n")
        writer.close()
        with pytest.raises(OSError, match=r"refused|failed"):
            await asyncio.open_connection("127.0.0.1", port)
