"""One call of a client and the reply to it, as every step between the listener and the host sees them."""

from collections.abc import AsyncIterator
from typing import Protocol

import msgspec

from vcproxy.core.status import Status, bad_request

Headers = tuple[tuple[str, str], ...]


class Call(Protocol):
    """A request as the listener read it: its head, and a body that is read on demand."""

    @property
    def method(self) -> str: ...

    @property
    def target(self) -> bytes:
        """Path and query, as they stood in the request line."""
        ...

    @property
    def request_id(self) -> str: ...

    def getall(self, name: str) -> list[str]:
        """All values of a header, in order; none where it is absent."""
        ...

    async def read(self, limit: int) -> bytes:
        """The whole body. Raises ApiError 413 when it is longer than `limit` bytes, 408 when it does not come."""
        ...


class Stream(Protocol):
    """A body that comes bit by bit. `close` ends what stands behind it, whether it was read to its end or not."""

    def chunks(self) -> AsyncIterator[bytes]: ...

    async def close(self) -> None: ...


class Reply(msgspec.Struct, frozen=True):
    """What the client gets: a code, headers, and a body that is whole or a stream."""

    code: int
    headers: Headers = ()
    body: bytes = b""
    stream: Stream | None = None


def single(call: Call, name: str) -> str | None:
    """The value of a header that may stand once only. Raises ApiError 400 when it stands more often."""
    values = call.getall(name)
    if len(values) > 1:
        raise bad_request(f"the header {name} may stand once only")
    return values[0] if values else None


def refused(status: Status, request_id: str = "") -> Reply:
    """A refusal as a reply: always JSON, whatever was asked for."""
    headers = [("Content-Type", "application/json"), ("Cache-Control", "no-cache, private")]
    if status.retry_after is not None:
        headers.append(("Retry-After", str(status.retry_after)))
    if request_id:
        headers.append(("Audit-Id", request_id))
    return Reply(status.code, tuple(headers), status.encode())
