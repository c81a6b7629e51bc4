"""One connection to the host: a request out, its answer in (RFC 9112), or a tunnel after a 101.

The parser is llhttp. An answer keeps its own buffer, so a connection is free as soon as the answer has come whole,
whether or not anybody has read it by then.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final, cast

import httptools
from multidict import CIMultiDict

from vcproxy import transports
from vcproxy.core import status
from vcproxy.core.http import Pipe
from vcproxy.core.status import ApiError
from vcproxy.drive import Signal
from vcproxy.host import silence

HIGH: Final = 1 << 20
"""Bytes of an answer that wait for their reader before the host is held back."""
HEAD_LIMIT: Final = 1 << 18
"""Bytes of an answer's head."""
FLUSH: Final = 30.0
"""Seconds in which the host must take what a tunnel had for it when it ended."""


class Lost(Exception):  # noqa: N818 - what happened to a connection, not to a request
    """The connection ended before the head of the answer.

    `unwritten`: not one byte of the request had been sent. `unanswered`: it had been kept from an earlier request, and
    not one byte of the answer had come.
    """

    def __init__(self, *, unwritten: bool = False, unanswered: bool = False) -> None:
        super().__init__("the connection was lost")
        self.unwritten = unwritten
        self.unanswered = unanswered


class HostAnswer:
    """A core.hosting.HostResponse. `timeout` is in seconds for a body that is read whole."""

    __slots__ = (
        "_connection", "_failed", "_header_pairs", "_headers", "_high", "_more", "_parts", "_size",
        "complete", "status", "timeout",
    )  # fmt: skip

    def __init__(self, code: int, pairs: list[tuple[bytes, bytes]], connection: "HostConnection") -> None:
        self.status = code
        self.complete = False
        self.timeout = 30.0
        self._header_pairs = pairs
        self._headers: CIMultiDict[str] | None = None
        self._connection: HostConnection | None = connection
        self._parts: list[bytes] = []
        self._size = 0
        self._high = HIGH
        self._more: Signal[None] | None = None
        self._failed: ApiError | None = None

    @property
    def headers(self) -> Mapping[str, str]:
        return self._multidict()

    def getall(self, name: str) -> list[str]:
        wanted = name.lower().encode()
        return [value.decode("latin-1") for key, value in self._header_pairs if key.lower() == wanted]

    def _multidict(self) -> CIMultiDict[str]:
        if self._headers is None:
            pairs = [(key.decode("latin-1"), value.decode("latin-1")) for key, value in self._header_pairs]
            self._headers = CIMultiDict(pairs)
        return self._headers

    @property
    def ends_with_the_connection(self) -> bool:
        """Whether nothing in the head says where the body ends (RFC 9112 6.3, case 8)."""
        names = {name.lower() for name, _ in self._header_pairs}
        return self.status not in (101, 204, 304) and not names & {b"content-length", b"transfer-encoding"}

    async def read(self, limit: int) -> bytes:
        if not self.complete:
            await self._all(limit)
        if self._failed is not None:
            raise self._failed
        if self._size > limit:
            raise status.bad_gateway()
        return self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)

    async def _all(self, limit: int) -> None:
        """Wait until the body is whole, too long, broken or late."""
        timer = asyncio.get_running_loop().call_later(self.timeout, self.fail, status.timed_out())
        self._high = limit
        self._hold(False)
        try:
            while not self.complete and self._failed is None and self._size <= limit:
                self._more = Signal()
                await self._more
        finally:
            timer.cancel()

    async def chunks(self) -> AsyncIterator[bytes]:
        while True:
            if self._parts:
                parts, self._parts, self._size = self._parts, [], 0
                self._hold(False)
                yield parts[0] if len(parts) == 1 else b"".join(parts)
            elif self.complete:
                return
            elif self._failed is not None:
                raise self._failed
            else:
                self._more = Signal()
                await self._more

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None and not self.complete:
            connection.drop()

    def _hold(self, held: bool) -> None:
        if self._connection is not None and not self.complete:
            self._connection.hold(held)

    # What the connection tells -----------------------------------------------------------------------------------

    def take(self, data: bytes) -> None:
        self._parts.append(data)
        self._size += len(data)
        if self._size > self._high:
            self._hold(True)

    def end(self) -> None:
        self.complete = True
        self._connection = None
        self.wake()

    def fail(self, error: ApiError) -> None:
        if not self.complete and self._failed is None:
            self._failed = error
            self.wake()

    def wake(self) -> None:
        """Let the reader see what has come."""
        more, self._more = self._more, None
        if more is not None:
            more.set(None)


def _late(head: Signal[HostAnswer]) -> None:
    head.fail(status.timed_out())


class HostConnection(asyncio.Protocol):
    """`released` is called each time the connection becomes free, `gone` when it is of no more use (also twice)."""

    __slots__ = (
        "_answer", "_early", "_full", "_head", "_head_bytes", "_held", "_kept", "_pairs", "_parser", "_paused",
        "_peer", "_touched", "_transport", "closing", "free", "gone", "loop", "owner", "received",
        "released", "since", "uses",
    )  # fmt: skip

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        released: Callable[["HostConnection"], None],
        gone: Callable[["HostConnection"], None],
    ) -> None:
        self.loop = loop
        self.released = released
        self.gone = gone
        self.owner = ""
        self.since = 0.0
        self.uses = 0
        self.received = 0
        self.free = True
        self.closing = False
        self._transport: asyncio.Transport = cast(asyncio.Transport, None)
        self._parser: Any = None
        self._kept: Any = None
        self._head: Signal[HostAnswer] | None = None
        self._answer: HostAnswer | None = None
        self._pairs: list[tuple[bytes, bytes]] = []
        self._head_bytes = 0
        self._touched = self._held = self._paused = self._full = False
        self._early: bytes = b""
        self._peer: Pipe | None = None

    # Asking ------------------------------------------------------------------------------------------------------

    async def ask(self, raw: bytes, within: float) -> HostAnswer:
        """Send one request and return its answer once the head is there, `within` seconds.

        Raises Lost, ApiError 502 or 504. Cancelled or late, the connection is dropped: its next bytes would be taken
        for another answer.
        """
        if self._transport.is_closing():
            self.drop()
            raise Lost(unwritten=True)
        self.uses += 1
        self._touched = False
        head: Signal[HostAnswer] = Signal()
        self._head = head
        self._parser = self._kept or httptools.HttpResponseParser(self)
        timer = self.loop.call_later(within, _late, head)
        self._transport.write(raw)
        try:
            answer = await head
        except BaseException:
            self._abandon(head)
            raise
        finally:
            timer.cancel()
        answer.timeout = within
        return answer

    def _abandon(self, head: Signal[HostAnswer]) -> None:
        """Nobody waits any more. By now the connection may be somebody else's: then its answer was whole."""
        unread = head.value is not None and not head.value.complete
        if self._head is head or unread:
            self.drop()

    def hold(self, held: bool) -> None:
        """Read no more for now, or go on."""
        if held != self._held and not self._transport.is_closing():
            self._held = held
            self._transport.pause_reading() if held else self._transport.resume_reading()

    def drop(self) -> None:
        """End the connection; what has not come will not."""
        self.closing = True
        answer, self._answer = self._answer, None
        if answer is not None:
            answer.fail(status.bad_gateway())
        self._transport.abort()
        self.gone(self)

    # The transport -----------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        silence.watch_over(transport.get_extra_info("socket"))
        transports.keep_encrypted(transport)

    def data_received(self, data: bytes) -> None:
        if self._parser is None:
            self._raw(data)
            return
        self._touched = True
        self.received += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._early, self._parser = data[upgrade.args[0] :], None
        except httptools.HttpParserError:
            if self._answer is None or not self._answer.complete:
                self._broke()
                return
            self.closing = True  # the answer is whole; what follows it is nobody's
        self._head_bytes += len(data)
        if self._head is not None and self._answer is None and self._head_bytes > HEAD_LIMIT:
            self._broke()
            return
        self._tell()

    def _tell(self) -> None:
        """Wake whoever waits, now that the parser has taken all that came: mostly the answer is whole by then."""
        answer = self._answer
        if answer is None:
            return
        if answer.complete and self._early == b"" and self._parser is not None:
            self._answer = None
            self._kept, self._parser = self._parser, None
            self.hold(False)
            self.released(self)
        head, self._head = self._head, None
        if head is not None:
            head.set(answer)
        answer.wake()

    def _raw(self, data: bytes) -> None:
        """Bytes of a tunnel; before it has a peer they wait. Of a free connection: the host may say nothing there."""
        if self._peer is not None:
            self._peer.write(data)
        elif self.free:
            self.drop()
        else:
            self._early += data
            if len(self._early) > HIGH:
                self.hold(True)

    def eof_received(self) -> bool:
        self.closing = True
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self.closing = True
        answer, self._answer = self._answer, None
        if self._head is not None and answer is None:
            self._head.fail(Lost(unanswered=self.uses > 1 and not self._touched))
        if answer is not None and error is None and answer.ends_with_the_connection:
            answer.end()
        elif answer is not None:
            answer.fail(status.bad_gateway())
        if self._peer is not None:
            self._peer.close()
        self.gone(self)

    def pause_writing(self) -> None:
        self._full = True
        if self._peer is not None:
            self._peer.pause()

    def resume_writing(self) -> None:
        self._full = False
        if self._peer is not None:
            self._peer.resume()

    def _broke(self) -> None:
        """What came is no HTTP."""
        head, self._head = self._head, None
        if head is not None:
            head.fail(status.bad_gateway())
        if self._answer is not None:
            self._answer.fail(status.bad_gateway())
        self.drop()

    # What httptools calls ----------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self._answer is not None:
            raise ValueError("an answer that nobody asked for")
        self._pairs = []
        self._head_bytes = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._answer is None:  # trailers mean nothing here
            self._pairs.append((name, value))

    def on_headers_complete(self) -> None:
        code = self._parser.get_status_code()
        if code != 101 and code < 200:
            return
        self._answer = HostAnswer(code, self._pairs, self)

    def on_body(self, body: bytes) -> None:
        if self._answer is not None:
            self._answer.take(body)

    def on_message_complete(self) -> None:
        answer = self._answer
        if answer is not None and answer.status != 101:
            if not self._parser.should_keep_alive():
                self.closing = True
            answer.end()

    # Tunnels -----------------------------------------------------------------------------------------------------

    def pipe(self) -> Pipe:
        """The host's end of the tunnel, after a 101."""
        self._answer = None
        if not self._transport.is_closing():
            silence.let_wait(self._transport.get_extra_info("socket"))
        return HostPipe(self)

    def connect(self, peer: Pipe) -> None:
        """Bytes go on to `peer`. What either end was told of the other before counts, and so does what it is told now:
        the early bytes alone may be more than the peer can take.
        """
        self._peer = peer
        self.hold(self._paused)
        if self._full:
            peer.pause()
        early, self._early = self._early, b""
        if early:
            peer.write(early)
        if self._transport.is_closing():
            peer.close()

    def pause(self) -> None:
        self._paused = True
        self.hold(True)

    def resume(self) -> None:
        self._paused = False
        if self._peer is not None:  # before that it is held back by how much has come early
            self.hold(False)

    def write(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)

    def close(self) -> None:
        """Send what waits, then end; a host that does not take it is given up."""
        self.closing = True
        self._transport.close()
        if self._transport.get_write_buffer_size():
            self.loop.call_later(FLUSH, self._transport.abort)

    def __repr__(self) -> str:
        state = "tunnel" if self._peer else "closing" if self.closing else "free" if self.free else "busy"
        return f"<host {state} uses={self.uses}{f' of {self.owner}' if self.owner else ''}>"


class HostPipe:
    """The connection as the client's end of the tunnel sees it."""

    __slots__ = ("__weakref__", "_connection")

    def __init__(self, connection: HostConnection) -> None:
        self._connection = connection

    def connect(self, peer: Pipe) -> None:
        self._connection.connect(peer)

    def write(self, data: bytes) -> None:
        self._connection.write(data)

    def pause(self) -> None:
        self._connection.pause()

    def resume(self) -> None:
        self._connection.resume()

    def close(self) -> None:
        self._connection.close()
