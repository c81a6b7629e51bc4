"""The second port, byte by byte."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from prometheus_client import CollectorRegistry, Counter

from vcproxy.observe import endpoints
from vcproxy.observe.endpoints import Endpoints


@contextlib.asynccontextmanager
async def serving(*reasons: str) -> AsyncIterator[int]:
    registry = CollectorRegistry()
    Counter("asked", "How often.", registry=registry).inc(3)
    served = Endpoints("127.0.0.1", 0, registry, lambda: list(reasons))
    await served.start()
    try:
        yield served.port
    finally:
        await served.close()


async def said(port: int, *parts: bytes) -> bytes:
    """All that comes back for what is sent piece by piece."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for part in parts:
        writer.write(part)
        await writer.drain()
        await asyncio.sleep(0)
    found = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    return found


def get(path: str, method: str = "GET") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()


@pytest.mark.parametrize("path", ["/livez", "/healthz", "/readyz", "/readyz?verbose"])
async def test_who_is_well_says_so(path: str) -> None:
    async with serving() as port:
        head, _, body = (await said(port, get(path))).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Content-Length: 3" in head
    assert body == b"ok\n"


async def test_who_is_not_ready_says_why_and_is_alive() -> None:
    async with serving("the keys have not been read yet") as port:
        assert b"503 Service Unavailable" in await said(port, get("/readyz"))
        assert (await said(port, get("/readyz"))).endswith(b"not ready: the keys have not been read yet\n")
        assert b"200 OK" in await said(port, get("/livez"))


async def test_figures_come_as_prometheus_reads_them() -> None:
    async with serving() as port:
        head, _, body = (await said(port, get("/metrics"))).partition(b"\r\n\r\n")
    assert b"Content-Type: text/plain; version=" in head
    assert b"asked_total 3.0" in body


@pytest.mark.parametrize("request_", [get("/"), get("/metricsx"), get("/livez", "POST"), b"\r\n\r\n", b"GET\r\n\r\n"])
async def test_everything_else_is_404(request_: bytes) -> None:
    async with serving() as port:
        assert (await said(port, request_)).startswith(b"HTTP/1.1 404 Not Found\r\n")


async def test_an_order_with_a_body_is_answered_not_reset() -> None:
    async with serving() as port:
        order = b"POST /livez HTTP/1.1\r\nContent-Length: 70000\r\n\r\n"
        assert b"404" in await said(port, order, b"x" * 70_000)


async def test_a_request_may_come_byte_by_byte() -> None:
    async with serving() as port:
        assert b"200 OK" in await said(port, *(bytes([one]) for one in get("/livez")))


async def test_a_head_without_end_gets_no_answer() -> None:
    async with serving() as port:
        with contextlib.suppress(OSError):
            assert await said(port, b"GET /livez HTTP/1.1\r\nX: " + b"x" * endpoints.HEAD_LIMIT * 2) == b""


async def test_who_sends_nothing_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoints, "DEADLINE", 0.05)
    async with serving() as port:
        assert await said(port, b"GET /livez") == b""


async def test_of_too_many_at_a_time_the_last_are_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoints, "CLIENTS", 1)
    async with serving() as port:
        _, held = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.sleep(0.05)
        assert await said(port, b"") == b""
        held.close()
        await asyncio.sleep(0.05)
        assert b"200 OK" in await said(port, get("/livez"))
