"""One call of a client and the reply to it, as every step between the listener and the host sees them."""

from collections.abc import AsyncIterator, Iterable
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

    @property
    def certificate(self) -> bytes:
        """The client's certificate, that TLS has verified, and those it sent with it: DER, one behind the other."""
        ...

    def getall(self, name: str) -> list[str]:
        """All values of a header, in order; none where it is absent."""
        ...

    def items(self) -> Iterable[tuple[str, str]]:
        """All headers, names in lower case."""
        ...

    def begins(self, prefix: bytes) -> bool:
        """Whether the name of any header, in lower case, begins so."""
        ...

    @property
    def upgrade(self) -> bool:
        """Whether the client asks to switch protocols."""
        ...

    async def read(self, limit: int) -> bytes:
        """The whole body. Raises ApiError 413 when it is longer than `limit` bytes, 408 when it does not come."""
        ...

    def claim(self, owner: str) -> None:
        """Count the connection as this owner's. Raises ApiError 429 when the owner holds too many."""
        ...


class Stream(Protocol):
    """A body that comes bit by bit. `close` ends what stands behind it, whether it was read to its end or not."""

    def chunks(self) -> AsyncIterator[bytes]: ...

    async def close(self) -> None: ...


class Sink(Protocol):
    """A client's end of a running answer, for what pushes into it. Nothing here waits."""

    @property
    def blocked(self) -> bool:
        """Whether more waits for the client than it should: write nothing before `Feed.resume`."""
        ...

    def write(self, frames: bytes) -> None:
        """Write chunks that are framed already (core.framing.chunk), so that many sinks can share one."""
        ...

    def end(self) -> None:
        """End the answer cleanly, with its last chunk."""
        ...

    def abort(self) -> None:
        """Cut the connection off: the client shall not take the answer for a whole one."""
        ...


class Feed(Protocol):
    """A body that is pushed into its sink when there is something: no task and no wait for each client.

    The listener calls `start` once the head is written, `resume` when a blocked client has read on, `drain` when it
    is about to end all answers, and `stop` once, when the answer has ended in whatever way.
    """

    def start(self, sink: Sink) -> None: ...

    def resume(self) -> None: ...

    def drain(self) -> None:
        """Write what is to be written last, then end the sink."""
        ...

    def stop(self) -> None: ...


class Pipe(Protocol):
    """One end of a tunnel: bytes both ways. Nothing here waits."""

    def connect(self, peer: "Pipe") -> None:
        """From now on all bytes that come here are written to `peer`, those first that came already."""
        ...

    def write(self, data: bytes) -> None: ...

    def pause(self) -> None:
        """Read no more: the peer is behind."""
        ...

    def resume(self) -> None: ...

    def close(self) -> None:
        """Send what waits, then end. The peer is closed with it. Idempotent."""
        ...


class Reply(msgspec.Struct, frozen=True):
    """What the client gets: a code, headers, and a body that is whole, a stream or a feed, or a tunnel (code 101).

    `finite`: the stream has an end of its own, and half of it must not look whole. A drain lets it run, then breaks it
    off; other streams may end at any event, and a drain ends them cleanly. `leisurely`: people read the stream at their
    own pace, so its client may be behind for long; who reads events is to keep up.
    """

    code: int
    headers: Headers = ()
    body: bytes = b""
    stream: Stream | None = None
    finite: bool = False
    leisurely: bool = False
    feed: Feed | None = None
    tunnel: Pipe | None = None


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
