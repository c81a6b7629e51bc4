"""The listener: HTTP/1.1 in, one handler, HTTP/1.1 out. It knows no Kubernetes but the shape of a refusal."""

import asyncio
import logging
import secrets
import socket
import ssl
import time
from collections import Counter
from email.utils import formatdate
from typing import Final

import msgspec

from vcproxy.core import status
from vcproxy.edge.connection import Connection
from vcproxy.edge.listener import Handler
from vcproxy.edge.writing import Renderer

log = logging.getLogger(__name__)

SWEEP: Final = 1.0
"""Seconds between two looks at the deadlines of connections."""
HANDSHAKE: Final = 10.0
"""Seconds in which a TLS handshake must be done. Sockets in one are not counted: whether it fails, no loop tells."""
SHUTDOWN: Final = 30.0
"""Seconds in which a client must have read the last of a TLS connection and answered its end."""
SPREAD: Final = 0.1
"""The share of the drain over which the ends of streams are spread, so that their clients do not all come at once."""
BACKLOG: Final = 4096
RETRY_AFTER: Final = 1
"""Seconds after which a client that found no place may try again."""
KEEPALIVE_PROBES: Final = (
    (socket.SO_KEEPALIVE, 1, socket.SOL_SOCKET),
    (socket.TCP_KEEPIDLE, 60, socket.IPPROTO_TCP),
    (socket.TCP_KEEPINTVL, 15, socket.IPPROTO_TCP),
    (socket.TCP_KEEPCNT, 4, socket.IPPROTO_TCP),
)
"""A watch whose client vanished without a word ends within two minutes."""


class ServerSettings(msgspec.Struct, frozen=True):
    """`head_limit` is in bytes for a request's head; `keepalive` and `drain` are in seconds.

    `connections` bounds those of all clients, `owner_connections` those of one tenant. `reuse_port`: other processes
    listen on the same port (SO_REUSEPORT).
    """

    host: str
    port: int
    head_limit: int = 65536
    keepalive: float = 75.0
    drain: float = 10.0
    connections: int = 65536
    owner_connections: int = 16384
    reuse_port: bool = False


class Server:
    """Listens and hands each request to one handler. `start`, then `drain`."""

    def __init__(self, handler: Handler, settings: ServerSettings, tls: ssl.SSLContext | None) -> None:
        self.handler = handler
        self.renderer = Renderer()
        self.draining = False
        self.head_limit = settings.head_limit
        self.keepalive = settings.keepalive
        self.date = b""
        self._settings = settings
        self._tls = tls
        self._listener: asyncio.Server | None = None
        self._connections: set[Connection] = set()
        self._owners: Counter[str] = Counter()
        self._sweeper: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ids = secrets.token_hex(4)
        self._count = 0

    @property
    def port(self) -> int:
        """The port that is listened on, once started."""
        assert self._listener is not None
        return int(self._listener.sockets[0].getsockname()[1])

    async def start(self) -> None:
        """Raises OSError when the address cannot be had."""
        loop = self._loop = asyncio.get_running_loop()
        self._tick()
        self._listener = await loop.create_server(
            lambda: Connection(self),
            self._settings.host,
            self._settings.port,
            ssl=self._tls,
            backlog=BACKLOG,
            reuse_address=True,
            reuse_port=self._settings.reuse_port or None,
            ssl_handshake_timeout=HANDSHAKE if self._tls else None,
            ssl_shutdown_timeout=SHUTDOWN if self._tls else None,
        )
        self._sweeper = asyncio.create_task(self._sweep())

    async def drain(self) -> None:
        """Stop listening, end watches with a clean last chunk, let the rest finish within the configured time."""
        assert self._listener is not None
        assert self._loop is not None
        self.draining = True
        self._listener.close()
        open_ones = tuple(self._connections)
        for index, connection in enumerate(open_ones):
            delay = SPREAD * self._settings.drain * index / len(open_ones)
            self._loop.call_later(delay, connection.drain)
        end = self._loop.time() + self._settings.drain
        while self._connections and self._loop.time() < end:  # noqa: ASYNC110 - once, at the end
            await asyncio.sleep(0.02)
        for connection in tuple(self._connections):
            connection.abort()
        if self._sweeper is not None:
            self._sweeper.cancel()
            await asyncio.gather(self._sweeper, return_exceptions=True)

    # What a connection asks of its listener ------------------------------------------------------------------------

    def now(self) -> float:
        assert self._loop is not None
        return self._loop.time()

    def next_id(self) -> str:
        self._count += 1
        return f"{self._ids}-{self._count:x}"

    def opened(self, connection: Connection, sock: socket.socket | None) -> None:
        """Count a connection. Raises ApiError 429 where there are too many."""
        self._connections.add(connection)
        if len(self._connections) > self._settings.connections:
            raise status.too_many_requests("too many connections, please try again later", RETRY_AFTER)
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            for option, value, level in KEEPALIVE_PROBES:
                sock.setsockopt(level, option, value)

    def closed(self, connection: Connection) -> None:
        self._connections.discard(connection)
        if connection.owner:
            self._release(connection)

    def claim(self, connection: Connection, owner: str) -> None:
        """Count a connection as its tenant's. Raises ApiError 429 where that has too many."""
        if self._owners[owner] >= self._settings.owner_connections:
            raise status.too_many_requests("too many connections to this cluster, please try again later", RETRY_AFTER)
        if connection.owner:
            self._release(connection)
        connection.owner = owner
        self._owners[owner] += 1

    def _release(self, connection: Connection) -> None:
        self._owners[connection.owner] -= 1
        if not self._owners[connection.owner]:
            del self._owners[connection.owner]

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP)
            self._tick()
            now = self.now()
            for connection in tuple(self._connections):
                if connection.deadline < now:
                    _end_of_wait(connection)

    def _tick(self) -> None:
        self.date = formatdate(time.time(), usegmt=True).encode()

    def __repr__(self) -> str:
        return f"<server connections={len(self._connections)} owners={len(self._owners)}>"


def _end_of_wait(connection: Connection) -> None:
    """What goes wrong at the end of one connection's deadline costs that connection: all others need the sweep."""
    try:
        connection.expired()
    except Exception:
        log.exception("a deadline could not be kept: %r ends", connection)
        connection.abort()
