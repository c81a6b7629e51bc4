"""One request of a client, as the steps behind the listener see it: a head, and a body that comes when asked for."""

from collections.abc import Iterator
from typing import Final, Protocol

from vcproxy.core import status
from vcproxy.core.status import ApiError, Status
from vcproxy.drive import Signal
from vcproxy.edge.reader import Head

EARLY: Final = 65536
"""Bytes of a body that are taken in before anybody asked for it."""


class Wire(Protocol):
    """What a call needs of its connection."""

    def hold(self) -> None:
        """Read no more for now."""
        ...

    def go_on(self) -> None:
        """Read on; the client is told to go on with a body that it holds back (RFC 9110 10.1.1)."""
        ...

    def claim(self, owner: str) -> None:
        """Raises ApiError 429 when the owner has too many connections."""
        ...


class ClientCall:
    """A core.http.Call over one connection."""

    __slots__ = (
        "_failed", "_head", "_head_weight", "_limit", "_parts", "_size", "_waiting", "_wire",
        "certificate", "complete", "method", "request_id", "target",
    )  # fmt: skip

    def __init__(self, head: Head, wire: Wire, request_id: str, certificate: bytes = b"") -> None:
        self._head = head
        self._head_weight = 0
        self._wire = wire
        self.request_id = request_id
        self.method = head.method
        self.target = head.target
        self.certificate = certificate
        self.complete = False
        self._parts: list[bytes] = []
        self._size = 0
        self._limit = EARLY
        self._waiting: Signal[None] | None = None
        self._failed: ApiError | None = None

    @property
    def waiting(self) -> bool:
        """Whether somebody waits for the body."""
        return self._waiting is not None

    @property
    def weight(self) -> int:
        """Bytes of its head and of what has come of its body."""
        if not self._head_weight:
            self._head_weight = self._head.weight()
        return self._head_weight + self._size

    @property
    def expects(self) -> bool:
        """Whether the client waits to be told before it sends the body."""
        return any(value.lower() == b"100-continue" for value in self._head.headers.get(b"expect", ()))

    @property
    def upgrade(self) -> bool:
        return self._head.upgrade

    @property
    def close(self) -> bool:
        """Whether the client wants the connection closed after the answer."""
        return self._head.close

    def getall(self, name: str) -> list[str]:
        values = self._head.headers.get(name.lower().encode())
        return [value.decode("latin-1") for value in values] if values else []

    def items(self) -> Iterator[tuple[str, str]]:
        for name, values in self._head.headers.items():
            for value in values:
                yield name.decode("ascii"), value.decode("latin-1")

    def begins(self, prefix: bytes) -> bool:
        for name in self._head.headers:  # noqa: SIM110 - a generator would cost more than the search
            if name.startswith(prefix):
                return True
        return False

    def claim(self, owner: str) -> None:
        self._wire.claim(owner)

    async def read(self, limit: int) -> bytes:
        length = self._head.length
        if length is not None and length > limit:
            raise status.too_large(limit)
        self._limit = limit
        if not self.complete and self._failed is None:
            self._waiting = Signal()
            self._wire.go_on()
            try:
                await self._waiting
            finally:
                self._waiting = None
        if self._size > limit:
            raise status.too_large(limit)
        if self._failed is not None:
            raise self._failed
        return self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)

    # What the connection tells -----------------------------------------------------------------------------------

    def take(self, data: bytes) -> None:
        """A piece of the body."""
        self._size += len(data)
        self._parts.append(data)
        if self._size > self._limit:
            self._wire.hold()
            if self._waiting is not None:
                self._waiting.set(None)

    def end(self) -> None:
        """The body is whole."""
        self.complete = True
        if self._waiting is not None:
            self._waiting.set(None)

    def fail(self, refusal: ApiError) -> None:
        """The body will not become whole."""
        self._failed = refusal
        if self._waiting is not None:
            self._waiting.set(None)


def late() -> ApiError:
    """The refusal of a body that does not come."""
    return ApiError(Status(408, "Timeout", "the body of the request did not come in time"))
