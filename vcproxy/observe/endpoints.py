"""The second port: health and metrics, for the provider's probes and Prometheus. Nothing of a tenant is served here."""

import asyncio
import contextlib
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

Reasons = Callable[[], list[str]]
HEAD_LIMIT: Final = 16384
"""Bytes of a request's head."""
DEADLINE: Final = 10.0
"""Seconds of a connection, which is for one request."""
CLIENTS: Final = 64
"""Connections at a time: probes and a few Prometheus servers."""
_TEXT: Final = "text/plain; charset=utf-8"


class Endpoints:
    """Serves /livez, /readyz and /metrics. `reasons` says why the proxy is not ready; empty means that it is."""

    def __init__(self, host: str, port: int, registry: CollectorRegistry, reasons: Reasons) -> None:
        self._host = host
        self._port = port
        self._registry = registry
        self._reasons = reasons
        self._server: asyncio.Server | None = None
        self._clients = 0

    async def start(self) -> None:
        """Raises OSError when the address cannot be had."""
        self._server = await asyncio.start_server(self._client, self._host, self._port, limit=HEAD_LIMIT)

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return int(self._server.sockets[0].getsockname()[1]) if self._server else self._port

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request, one answer; whoever sends no request in time gets none."""
        self._clients += 1
        ends = (TimeoutError, OSError, EOFError, asyncio.LimitOverrunError)
        try:
            with contextlib.suppress(*ends):
                async with asyncio.timeout(DEADLINE if self._clients <= CLIENTS else 0):
                    head = await reader.readuntil(b"\r\n\r\n")
                    writer.write(_rendered(*self._answer(head)))
                    writer.write_eof()
                    while await reader.read(HEAD_LIMIT):  # a reset would take the answer back (RFC 9112 9.6)
                        pass
        finally:
            self._clients -= 1
            writer.close()

    def _answer(self, head: bytes) -> tuple[HTTPStatus, str, bytes]:
        """Code, content type and body for a request's head."""
        method, _, rest = head.partition(b" ")
        path = rest.partition(b" ")[0].partition(b"?")[0]
        reasons = self._reasons() if path == b"/readyz" else []
        if method != b"GET" or path not in (b"/livez", b"/healthz", b"/readyz", b"/metrics"):
            return HTTPStatus.NOT_FOUND, _TEXT, b"not found\n"
        if path == b"/metrics":
            return HTTPStatus.OK, CONTENT_TYPE_LATEST, generate_latest(self._registry)
        if reasons:
            return HTTPStatus.SERVICE_UNAVAILABLE, _TEXT, "".join(f"not ready: {one}\n" for one in reasons).encode()
        return HTTPStatus.OK, _TEXT, b"ok\n"


def _rendered(code: HTTPStatus, content_type: str, body: bytes) -> bytes:
    lines = (
        f"HTTP/1.1 {code.value} {code.phrase}",
        f"Content-Type: {content_type}",
        f"Content-Length: {len(body)}",
        "Connection: close",
    )
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
