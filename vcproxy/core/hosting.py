"""What the program knows of the host: a request to it, its answer, and the Protocol of the way there."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Protocol

import msgspec


class HostRequest(msgspec.Struct, frozen=True):
    """One request to the host. `target` is path and query, rendered; `timeout` is seconds to the answer's head."""

    method: str
    target: str
    headers: Sequence[tuple[str, str]] = ()
    body: bytes | None = None
    timeout: float = 30.0


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
        """Raises ApiError: 502 unreachable, 503 too many connections, 504 no answer within `request.timeout`."""
        ...

    async def close(self) -> None: ...
