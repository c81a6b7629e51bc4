"""The listener: HTTP/1.1 in, one handler, HTTP/1.1 out. It knows no Kubernetes but the shape of a refusal.

aiohttp's low-level server stands behind it for now; nothing else of the program may know that.
"""

import asyncio
import contextlib
import logging
import secrets
import ssl
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec
from aiohttp import web  # noqa: TID251 - the one place that serves HTTP
from aiohttp.web_protocol import RequestHandler
from multidict import CIMultiDict

from vcproxy.core import http, status
from vcproxy.core.http import Call, Reply
from vcproxy.core.status import ApiError, Status

log = logging.getLogger(__name__)

_SILENT: Final = logging.Logger("vcproxy.silent", logging.CRITICAL)
"""aiohttp's own access log is never written: a request is accounted for once, in the flow."""

Handler = Callable[[Call], Awaitable[Reply]]

WRITE_DEADLINE: Final = 60.0
"""Seconds that one write to a client may wait for it to read."""
BODY_DEADLINE: Final = 60.0
"""Seconds in which the body of a request must have come."""


class ServerSettings(msgspec.Struct, frozen=True):
    """`head_limit` is in bytes for the request line and for each header; `keepalive` and `drain` are in seconds."""

    host: str
    port: int
    head_limit: int = 65536
    keepalive: float = 75.0
    drain: float = 10.0


class _Call:
    """A Call over aiohttp's request."""

    def __init__(self, request: web.BaseRequest, request_id: str) -> None:
        self._request = request
        self.request_id = request_id
        self.method = request.method
        self.target = request.raw_path.encode("utf-8", "surrogateescape") if request.raw_path else b"/"

    def getall(self, name: str) -> list[str]:
        return self._request.headers.getall(name, [])

    async def read(self, limit: int) -> bytes:
        declared = self._request.content_length
        if declared is not None and declared > limit:
            raise status.too_large(limit)
        parts, size = [], 0
        try:
            async with asyncio.timeout(BODY_DEADLINE):
                async for part in self._request.content.iter_any():
                    size += len(part)
                    if size > limit:
                        raise status.too_large(limit)
                    parts.append(part)
        except TimeoutError:
            raise ApiError(Status(408, "Timeout", "the body of the request did not come in time")) from None
        return b"".join(parts)

    def claim(self, owner: str) -> None:
        pass


class _Answer(web.StreamResponse):
    """An answer that does not say which library made it."""

    async def _prepare_headers(self) -> None:
        await super()._prepare_headers()
        self.headers.popall("Server", None)


class _Whole(web.Response):
    async def _prepare_headers(self) -> None:
        await super()._prepare_headers()
        self.headers.popall("Server", None)


class _Protocol(RequestHandler):
    """aiohttp's protocol with refusals of our own: one Status, nothing echoed, nothing logged of the input."""

    def handle_error(
        self, request: Any, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun already")
        code, reason, text = (
            (400, "BadRequest", "the request is not valid HTTP/1.1")
            if status < 500
            else (500, "InternalError", "Internal error occurred: the request could not be completed")
        )
        log.debug("request refused by the parser: %s", type(exc).__name__)
        answer = _Whole(status=code, body=Status(code, reason, text).encode(), content_type="application/json")
        answer.force_close()
        return answer


class Server:
    """Listens and hands each request to one handler. `start`, then `drain` and `close`."""

    def __init__(self, handler: Handler, settings: ServerSettings, tls: ssl.SSLContext | None) -> None:
        self._handler = handler
        self._settings = settings
        self._tls = tls
        self._web: web.Server | None = None
        self._listener: asyncio.Server | None = None
        self._streams: set[asyncio.Task[Any]] = set()
        self._ids = secrets.token_hex(4)
        self._count = 0

    @property
    def port(self) -> int:
        """The port that is listened on, once started."""
        assert self._listener is not None
        return int(self._listener.sockets[0].getsockname()[1])

    async def start(self) -> None:
        """Raises OSError when the address cannot be had."""
        manager = self._web = web.Server(self._serve, handler_cancellation=True)
        loop, limit = asyncio.get_running_loop(), self._settings.head_limit

        def protocol() -> _Protocol:
            return _Protocol(
                manager,
                loop=loop,
                auto_decompress=False,
                access_log=_SILENT,
                keepalive_timeout=self._settings.keepalive,
                max_line_size=limit,
                max_field_size=limit,
            )

        self._listener = await loop.create_server(
            protocol, self._settings.host, self._settings.port, ssl=self._tls, backlog=1024, reuse_address=True
        )

    async def drain(self) -> None:
        """Stop listening, end streams with a clean last chunk, let requests finish within the configured time."""
        assert self._listener is not None
        assert self._web is not None
        self._listener.close()
        for task in self._streams:
            task.cancel("drain")
        self._web.pre_shutdown()
        await self._web.shutdown(self._settings.drain)

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        self._count += 1
        call = _Call(request, f"{self._ids}-{self._count:x}")
        if request.headers.get("Expect", "").lower() == "100-continue":
            await request.writer.drain()
            assert request.transport is not None
            request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        reply = await self._handler(call)
        if reply.stream is not None:
            return await self._stream(request, reply)
        answer = _Answer(status=reply.code, headers=_headers(reply))
        answer.content_length = len(reply.body)
        _close_unread(request, answer)
        await answer.prepare(request)
        async with asyncio.timeout(WRITE_DEADLINE):
            await answer.write(reply.body)
            await answer.write_eof()
        return answer

    async def _stream(self, request: web.BaseRequest, reply: Reply) -> web.StreamResponse:
        """A body that comes bit by bit. It ends cleanly when drained, and breaks off when the host's breaks."""
        assert reply.stream is not None
        answer = _Answer(status=reply.code, headers=_headers(reply))
        answer.enable_chunked_encoding()
        try:
            await answer.prepare(request)
            copying = asyncio.create_task(_copy(reply.stream, answer))
            self._streams.add(copying)
            copying.add_done_callback(self._streams.discard)
            try:
                await asyncio.wait({copying})
            finally:
                if not copying.done():
                    copying.cancel()
                    await asyncio.wait({copying})
            if not copying.cancelled() and copying.exception() is not None:
                answer.force_close()
                if request.transport is not None:
                    request.transport.abort()
                return answer
            if copying.cancelled():
                answer.force_close()
            await answer.write_eof()
        finally:
            await reply.stream.close()
        return answer


async def _copy(stream: http.Stream, answer: web.StreamResponse) -> None:
    async for chunk in stream.chunks():
        async with asyncio.timeout(WRITE_DEADLINE):
            await answer.write(chunk)


def _headers(reply: Reply) -> CIMultiDict[str]:
    return CIMultiDict(reply.headers)


def _close_unread(request: web.BaseRequest, answer: web.StreamResponse) -> None:
    """A body that nobody read would be taken for the next request: the connection ends."""
    with contextlib.suppress(AttributeError):
        if not request.content.is_eof() and not request.content.at_eof():
            answer.force_close()
