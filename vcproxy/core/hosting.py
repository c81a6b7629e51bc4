"""What the program knows of the host: a request to it, its answer, and the Protocol of the way there."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Protocol

import msgspec

from vcproxy.core.http import Pipe


class HostRequest(msgspec.Struct, frozen=True):
    """One request to the host. `target` is path and query, rendered; `timeout` is seconds to the answer's head.

    `owner` is whose share of the connections it takes (a tenant; empty: the proxy's own, which has no cap).
    """

    method: str
    target: str
    headers: Sequence[tuple[str, str]] = ()
    body: bytes | None = None
    timeout: float = 30.0
    owner: str = ""


class HostResponse(Protocol):
    """An answer whose body has not been read. Whoever got it closes it."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]: ...

    def getall(self, name: str) -> list[str]:
        """All values of a header, in order."""
        ...

    async def read(self, limit: int) -> bytes:
        """The whole body. Raises ApiError 502 when it is longer than `limit` bytes or breaks off."""
        ...

    def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes. Ends silently where the host ended it cleanly; raises ApiError 502 where it broke."""
        ...

    async def close(self) -> None:
        """Give the connection back, or drop it if the body was not read to its end. Idempotent."""
        ...


class Upstream(Protocol):
    """The way to the host under one credential."""

    async def send(self, request: HostRequest) -> HostResponse:
        """Raises ApiError: 502 unreachable, 429 too many connections, 504 no answer within `request.timeout`."""
        ...

    async def close(self) -> None: ...


class Tunnels(Protocol):
    """The way to the host for requests that switch protocols."""

    async def upgrade(self, request: HostRequest) -> tuple[HostResponse, Pipe | None]:
        """Ask to switch protocols. The pipe is there only after a 101; any other answer is one like all others."""
        ...
