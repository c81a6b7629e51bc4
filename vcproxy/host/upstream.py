"""The way to the host under one credential: a pool of kept connections behind core.hosting.Upstream.

What is asked again by itself: any verb where nothing was written, and a GET that went out on a kept connection which
ended without one byte back (the host may drop an idle connection in that very moment). Everything else is told as it
is, for a write may have happened. Foreign exceptions end here: what goes wrong leaves as an ApiError 429, 502 to 504.
"""

import asyncio
import re
import ssl
from collections import Counter, deque
from typing import Final
from urllib.parse import urlsplit

from vcproxy.core import status
from vcproxy.core.hosting import HostRequest, HostResponse
from vcproxy.core.http import Pipe
from vcproxy.host.connection import HostAnswer, HostConnection, Lost
from vcproxy.host.kubeconfig import HostCredentials

IDLE: Final = 45.0
"""Seconds for which a connection is kept; the host drops them after 90 (kube-apiserver: http2 and idle timeouts)."""
SWEEP: Final = 10.0
"""Seconds between two looks for connections that have been idle for too long."""
KEPT_BLOCKS: Final = 1024
"""Rendered blocks of headers that are kept."""
SMALL: Final = 2048
"""Bytes up to which a block is kept: those of a client's own headers, for pods behind a proxy, come once."""
RETRY_AFTER: Final = 1
TRIES: Final = 3
"""How often a request is tried that found its connection dead; the last time on a new one."""

_control = re.compile(r"[\x00-\x1f\x7f]")


class Pool:
    """An Upstream and its Tunnels. `connections` bounds all, `owner_connections` those of one tenant."""

    def __init__(
        self,
        credentials: HostCredentials,
        *,
        connections: int = 4096,
        owner_connections: int = 1024,
        connect_timeout: float = 5.0,
        idle: float = IDLE,
    ) -> None:
        parts = urlsplit(credentials.server)
        self._credentials = credentials
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._tls = credentials.ssl_context() if parts.scheme == "https" else None
        self._host_line = f"Host: {parts.netloc}\r\n"
        self._most = connections
        self._owner_most = owner_connections
        self._connect_timeout = connect_timeout
        self._idle_limit = idle
        self._idle: deque[HostConnection] = deque()
        self._open: set[HostConnection] = set()
        self._owners: Counter[str] = Counter()
        self._blocks: dict[tuple[object, ...], bytes] = {}
        self._sweeping: asyncio.TimerHandle | None = None
        self._closed = False
        self._opening = 0
        self._received = 0

    @property
    def open(self) -> int:
        """Connections that are open."""
        return len(self._open)

    @property
    def received(self) -> int:
        """Bytes of answers that have come from the host; those of tunnels are not counted."""
        return self._received + sum(connection.received for connection in self._open)

    def __repr__(self) -> str:
        owners = "".join(f" {owner}={count}" for owner, count in sorted(self._owners.items()))
        return f"<pool open={len(self._open)} idle={len(self._idle)}{owners}>"

    # Asking ------------------------------------------------------------------------------------------------------

    async def send(self, request: HostRequest) -> HostResponse:
        _, answer = await self._ask(request, kept=True)
        return answer

    async def upgrade(self, request: HostRequest) -> tuple[HostResponse, Pipe | None]:
        connection, answer = await self._ask(request, kept=False)  # it ends with the tunnel: a kept one would be wasted
        return answer, connection.pipe() if answer.status == 101 else None

    async def _ask(self, request: HostRequest, *, kept: bool) -> tuple[HostConnection, HostAnswer]:
        """The answer and what it came by, asked again where that is safe."""
        raw = self._render(request)
        for left in reversed(range(TRIES)):
            try:
                connection = await self._take(request.owner, kept=kept and left > 0)
                return connection, await connection.ask(raw, request.timeout)
            except Lost as lost:
                again = lost.unwritten or (lost.unanswered and request.method == "GET")
                if not (again and left):
                    raise status.bad_gateway() from lost
        raise status.bad_gateway()

    async def close(self) -> None:
        self._closed = True
        if self._sweeping is not None:
            self._sweeping.cancel()
        for connection in tuple(self._open):
            connection.drop()
        await asyncio.sleep(0)  # the transports end in the next turn of the loop

    # Connections -------------------------------------------------------------------------------------------------

    def _kept(self) -> HostConnection | None:
        """The connection that was used last: the others may grow old."""
        while self._idle:
            connection = self._idle.pop()
            if not connection.closing:
                return connection
        return None

    async def _take(self, owner: str, *, kept: bool) -> HostConnection:
        """A connection for an owner. Raises ApiError 429 where that has too many, 502 or 503 where there is none.

        Raises Lost where it ended as soon as it was there.
        """
        if owner and self._owners[owner] >= self._owner_most:
            raise status.too_many_requests("too many requests of this cluster are under way", RETRY_AFTER)
        self._count(owner, 1)
        try:
            connection = (self._kept() if kept else None) or await self._connect(owner)
            if connection.closing:
                raise Lost(unwritten=True)
        except BaseException:
            self._count(owner, -1)
            raise
        connection.free = False
        connection.owner = owner
        return connection

    def _count(self, owner: str, change: int) -> None:
        if owner:
            self._owners[owner] += change
            if not self._owners[owner]:
                del self._owners[owner]

    def _released(self, connection: HostConnection) -> None:
        self._give_back(connection)
        if connection.closing or self._closed:
            connection.drop()
            return
        connection.free = True
        connection.since = connection.loop.time()
        self._idle.append(connection)
        if self._sweeping is None:
            self._sweeping = connection.loop.call_later(SWEEP, self._sweep)

    def _gone(self, connection: HostConnection) -> None:
        self._give_back(connection)
        if connection in self._open:
            self._open.discard(connection)
            self._received += connection.received

    def _give_back(self, connection: HostConnection) -> None:
        owner, connection.owner = connection.owner, ""
        self._count(owner, -1)

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        oldest = loop.time() - self._idle_limit
        while self._idle and (self._idle[0].closing or self._idle[0].since < oldest):
            self._idle.popleft().drop()
        self._sweeping = loop.call_later(SWEEP, self._sweep) if self._idle else None

    def _room(self) -> bool:
        """Whether one more may be opened. The oldest idle ones make room: they are a saving, not a need."""
        while self._idle and len(self._open) + self._opening >= self._most:
            self._idle.popleft().drop()
        return len(self._open) + self._opening < self._most

    async def _connect(self, owner: str) -> HostConnection:
        if owner and not self._room():  # its own requests are few, and all tenants need them
            raise status.too_many_requests("too many requests are under way, please try again later", RETRY_AFTER)
        self._opening += 1
        opening = asyncio.ensure_future(self._opened())  # a task: it may use asyncio.timeout
        try:
            return await opening
        except asyncio.CancelledError:
            opening.add_done_callback(self._unwanted)
            raise
        finally:
            self._opening -= 1

    def _unwanted(self, opening: asyncio.Task[HostConnection]) -> None:
        """The request was cancelled in the moment in which its connection was there: another may have it."""
        if not opening.cancelled() and opening.exception() is None:
            self._released(opening.result())

    async def _opened(self) -> HostConnection:
        loop = asyncio.get_running_loop()
        name = (self._credentials.server_name or self._host) if self._tls else None
        try:
            async with asyncio.timeout(self._connect_timeout):
                _, connection = await loop.create_connection(
                    lambda: HostConnection(loop, self._released, self._gone),
                    self._host,
                    self._port,
                    ssl=self._tls,
                    server_hostname=name,
                )
        except TimeoutError as error:
            raise status.unavailable("the API server cannot be reached") from error
        except (OSError, ssl.SSLError) as error:
            raise status.bad_gateway() from error
        if connection.closing or self._closed:
            connection.drop()
            raise status.bad_gateway() if self._closed else Lost(unwritten=True)
        self._open.add(connection)
        return connection

    # Rendering ---------------------------------------------------------------------------------------------------

    def _render(self, request: HostRequest) -> bytes:
        """The request as bytes. The target is rendered already (core.request), the headers are an allow-list."""
        block = self._block(tuple(request.headers))
        start = f"{request.method} {request.target} HTTP/1.1\r\n".encode("ascii")
        if request.body is None:
            return b"%b%b\r\n" % (start, block)
        return b"%b%bContent-Length: %d\r\n\r\n%b" % (start, block, len(request.body), request.body)

    def _block(self, headers: tuple[tuple[str, str], ...]) -> bytes:
        authorization = self._credentials.authorization()
        key = authorization, headers
        found = self._blocks.get(key)
        if found is None:
            own = (("Authorization", authorization),) if authorization else ()
            lines = [f"{name}: {_control.sub(' ', value)}\r\n" for name, value in (*own, *headers)]
            found = "".join([self._host_line, *lines]).encode("latin-1")
            if len(found) <= SMALL:
                self._keep(key, found)
        return found

    def _keep(self, key: tuple[object, ...], block: bytes) -> None:
        if len(self._blocks) >= KEPT_BLOCKS:
            self._blocks.clear()
        self._blocks[key] = block
