"""One connection of a client: requests in, answers out, in order, one at a time.

    data_received -> Reader -> calls -> Drive(handler) -> Reply -> bytes | stream | feed | tunnel

An answer that is whole is written in the stack of whatever completed it. A stream is copied by a task of its own, a
feed is pushed into the connection by whoever has news, a tunnel hands the bytes on. At any time the connection has one
deadline, and the listener's sweep calls `expired` when it has passed.
"""

import asyncio
import logging
from collections import deque
from typing import Any, Final, cast

from vcproxy import transports
from vcproxy.core import http
from vcproxy.core.http import Feed, Pipe, Reply
from vcproxy.core.status import ApiError, Status
from vcproxy.drive import Drive
from vcproxy.edge import deadlines, writing
from vcproxy.edge.call import ClientCall, late
from vcproxy.edge.deadlines import NEVER
from vcproxy.edge.ends import ClientPipe, FeedSink
from vcproxy.edge.listener import Edge
from vcproxy.edge.pipelining import SLICE, crowded
from vcproxy.edge.presented import presented
from vcproxy.edge.reader import Head, Malformed, Reader
from vcproxy.edge.streams import feed_of

log = logging.getLogger(__name__)

HIGH: Final = 65536
"""Bytes that wait for a client before it is behind. TLS has as many again below itself."""
EARLY_TUNNEL: Final = 65536
"""Bytes that may follow a request to switch protocols before it is answered."""


class Connection(asyncio.Protocol):
    """A client's connection, and the Wire of its calls."""

    __slots__ = (
        "_advancing", "_body", "_calls", "_certificate", "_closing", "_current", "_drive", "_edge", "_ending", "_feed",
        "_held", "_incoming", "_leisurely", "_peer", "_reader", "_rest", "_state", "_transport", "_unread", "blocked",
        "deadline", "owner", "unsent",
    )  # fmt: skip

    def __init__(self, edge: Edge) -> None:
        self._edge = edge
        self._reader = Reader(self, edge.head_limit)
        self._transport: asyncio.Transport = cast(asyncio.Transport, None)
        self._calls: deque[ClientCall | Malformed] = deque()
        self._incoming: ClientCall | None = None
        self._current: ClientCall | None = None
        self._drive: Drive[Reply] | None = None
        self._feed: Feed | None = None
        self._peer: Pipe | None = None
        self._rest: bytearray | None = None
        self._body: memoryview | None = None
        self._unread: memoryview | None = None
        self._advancing = self._held = self._ending = self._closing = self._leisurely = False
        self._state: tuple[str, float] = ("", NEVER)
        self._certificate = b""
        self.blocked = False
        self.deadline = NEVER
        self.owner = ""
        self.unsent = 0

    # The transport -----------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(HIGH)
        transports.keep_encrypted(transport)
        tls = transport.get_extra_info("ssl_object")
        if tls is not None:
            self._certificate = presented(tls)
        self.deadline = self._edge.now() + (deadlines.LINGER if self._edge.draining else deadlines.FIRST_BYTE)
        try:
            self._edge.opened(self, transport.get_extra_info("socket"))
        except ApiError as refusal:
            self._write_whole(http.refused(refusal.status), close=True)
            self._linger()

    def data_received(self, data: bytes) -> None:
        if self._peer is not None:
            self._peer.write(data)
            return
        if self._ending:
            return  # read and forgotten, so that the client gets to read its last answer
        if self._unread is None and len(data) <= SLICE:
            self._read(data)
        else:  # in order, and not all at once
            self._unread = memoryview(bytes(self._unread or b"") + data)
        self._advance()
        self._mark()

    def eof_received(self) -> bool:
        return False  # a client that has said all it wants takes no answer: HTTP/1.1 over TLS knows no half-closed end

    def connection_lost(self, error: Exception | None) -> None:
        self._edge.closed(self)
        self._ending = True
        self._body = self._unread = None
        self._calls.clear()
        if self._drive is not None:
            self._drive.cancel()
        self._stop_feed()
        if self._peer is not None:
            self._peer.close()

    def pause_writing(self) -> None:
        self.blocked = True
        self.unsent = self._transport.get_write_buffer_size()
        self._mark()
        if self._peer is not None:
            self._peer.pause()

    def resume_writing(self) -> None:
        self.blocked = False
        if self._closing:
            self._transport.close()
            self.deadline = self._edge.now() + deadlines.WRITE
            return
        self._mark()
        if self._body is not None:
            self._write_on()
        if self._peer is not None:
            self._peer.resume()
        if self._feed is not None:
            self._feed.resume()
        self._advance()

    # Reading -----------------------------------------------------------------------------------------------------

    def _read(self, data: bytes) -> None:
        if self._rest is not None:
            self._early(data)
            return
        try:
            self._reader.feed(data)
        except Malformed as malformed:
            self._malformed(malformed)

    def _read_on(self, unread: memoryview) -> None:
        """Read a slice of what has come."""
        self._unread = unread[SLICE:] or None
        self._read(bytes(unread[:SLICE]))

    def _malformed(self, malformed: Malformed) -> None:
        """Requests before it are answered first; the rest of the input is never looked at."""
        self._calls.append(malformed)
        if self._incoming is not None and not self._incoming.complete:
            self._calls.pop()  # the body of a request is at fault: the request gets the Status
            self._incoming.fail(ApiError(Status(malformed.code, malformed.reason, malformed.message)))
        self._rest = bytearray()

    def _early(self, data: bytes) -> None:
        assert self._rest is not None
        self._rest += data
        if len(self._rest) >= EARLY_TUNNEL:
            self.hold()

    def head(self, head: Head) -> None:
        self._incoming = ClientCall(head, self, self._edge.next_id(), self._certificate)
        self._calls.append(self._incoming)

    def body(self, data: bytes) -> None:
        assert self._incoming is not None
        self._incoming.take(data)

    def end(self) -> None:
        assert self._incoming is not None
        self._incoming.end()

    def upgraded(self, rest: bytes) -> None:
        self._rest = bytearray(rest)

    # What a call asks of its connection ----------------------------------------------------------------------------

    def hold(self) -> None:
        if not self._held and not self._transport.is_closing():
            self._held = True
            self._transport.pause_reading()

    def go_on(self) -> None:
        if self._incoming is not None and self._incoming.expects and not self._transport.is_closing():
            self._transport.write(writing.CONTINUE)
        self.unhold()
        self._advance()
        self._mark()

    def claim(self, owner: str) -> None:
        if owner != self.owner and not self._ending:  # what is claimed for a connection that is lost stays claimed
            self._edge.claim(self, owner)

    def unhold(self) -> None:
        """Read on."""
        if self._held and not self._transport.is_closing():
            self._held = False
            self._transport.resume_reading()

    # Answering ---------------------------------------------------------------------------------------------------

    def _advance(self) -> None:
        """Begin the next request when there is one and nothing is before it, and read on in what has come."""
        if self._advancing:
            return
        self._advancing = True
        while True:
            if self._calls and self._current is None and not self._ending and not self.blocked:
                call = self._calls.popleft()
                if self._held:
                    self._make_room()
                self._begin(call)
            elif self._unread is None or self._held or self._ending or self._crowded():
                break
            else:
                self._read_on(self._unread)
        if self._calls:
            self._crowded()
        self._advancing = False

    def _make_room(self) -> None:
        """With one request less that waits there may be room for more."""
        if not crowded(self._calls):
            self.unhold()

    def _crowded(self) -> bool:
        """Whether so much waits that nothing more is read for now."""
        found = bool(self._calls) and crowded(self._calls)
        if found:
            self.hold()
        return found

    def _begin(self, call: ClientCall | Malformed) -> None:
        if isinstance(call, Malformed):
            headers, body = writing.refusal(call)
            self._write_whole(Reply(call.code, headers, body), close=True)
            self._linger()
            return
        self._current = call
        self._state = ("", NEVER)
        self.deadline = NEVER
        self._drive = Drive(cast(Any, self._edge.handler(call)), self._answered)
        self._drive.start()

    def _answered(self, reply: Reply | None, error: BaseException | None) -> None:
        self._drive = None
        if self._transport.is_closing() or self._ending:
            self._give_up(reply)
        elif reply is None:
            if not isinstance(error, asyncio.CancelledError):
                log.error("the handler failed", exc_info=error)
            self._transport.abort()
        else:
            self._begin_answer(reply)

    def _begin_answer(self, reply: Reply) -> None:
        """What is wrong with an answer stays here: in the stack there may be anybody who had news for its request."""
        try:
            self._reply(reply)
        except Exception:
            log.exception("an answer could not be written")
            self._transport.abort()

    def _give_up(self, reply: Reply | None) -> None:
        """The client went away while its answer was made: what stands behind the answer is ended."""
        if reply is not None and (reply.feed is not None or reply.stream is not None):
            feed_of(reply).stop()
        if reply is not None and reply.tunnel is not None:
            reply.tunnel.close()

    def _reply(self, reply: Reply) -> None:
        if reply.tunnel is not None:
            self._open_tunnel(reply, reply.tunnel)
        elif reply.feed is not None or reply.stream is not None:
            self._open_feed(reply)
        else:
            self._write_whole(reply, close=self._last)
            self._write_on()

    def _open_feed(self, reply: Reply) -> None:
        self._write_head(reply, writing.CHUNKED, close=self._last)
        self._leisurely = reply.leisurely
        feed = self._feed = feed_of(reply)
        feed.start(FeedSink(self))
        if self._edge.draining:
            self.drain()

    @property
    def _last(self) -> bool:
        """Whether the answer of now is the last of this connection."""
        call = self._current
        if call is None or call.close or not call.complete or self._edge.draining:
            return True
        return self._rest is not None and not self._calls  # what stands before its refusal is answered

    def _write_whole(self, reply: Reply, *, close: bool) -> None:
        bodiless = self._current is not None and self._current.method == "HEAD"
        edge = self._edge
        raw, self._body = writing.whole(reply, edge.renderer, edge.date, close=close, bodiless=bodiless)
        self._transport.write(raw)

    def _write_on(self) -> None:
        """Write of a large body what the client takes in; the rest when it has.

        TLS takes in all that it is given, and then knows no more of what the client has not read.
        """
        body = self._body
        while body and not self.blocked:
            self._transport.write(body[: writing.PIECE])
            body = body[writing.PIECE :]
        self._body = body or None
        if not body:
            self._finish()

    def _write_head(self, reply: Reply, framing: bytes, *, close: bool) -> None:
        edge = self._edge
        self._transport.write(writing.head(reply, edge.renderer, edge.date, framing, close=close))

    def _finish(self) -> None:
        """The answer of the current request is written."""
        last = self._last
        self._current = None
        if last:
            self._linger()
        else:
            if not self._calls:
                self.unhold()
            self._advance()
            self._mark()

    def _linger(self) -> None:
        """End the connection. A client that is still sending is read on a while: a reset would cost it its answer."""
        call, self._current = self._incoming, None
        all_read = self._unread is None and not self._held and self._reader.between
        self._ending, self._unread = True, None
        self._calls.clear()
        if (call is None or call.complete) and all_read:
            self._close(deadlines.WRITE)
            return
        self.unhold()
        self.deadline = self._edge.now() + deadlines.LINGER

    def _close(self, within: float) -> None:
        """End the connection once the client has taken in what waits, for which it has `within` seconds each time.

        What is left below the low mark goes out with the goodbye. (Limits of zero would tell of the very end, but over
        TLS that news never comes: tried.)
        """
        if self._transport.is_closing():
            return
        self._ending = True
        self.deadline = self._edge.now() + within
        if self.blocked:
            self._closing = True
        else:
            self._transport.close()

    # Streams and feeds -------------------------------------------------------------------------------------------

    def write(self, frames: bytes) -> None:
        """Bytes of a feed (in chunks) or of a tunnel."""
        if self._transport.is_closing():
            return
        before = self._transport.get_write_buffer_size() if self.blocked else None
        self._transport.write(frames)
        if before is not None:  # what comes on top is not what the client has failed to read
            self.unsent += self._transport.get_write_buffer_size() - before

    def end_answer(self) -> None:
        """The last chunk, and on to the next request."""
        if not self._transport.is_closing():
            self._transport.write(writing.LAST_CHUNK)
            self._finish()

    def abort(self) -> None:
        self._transport.abort()

    def end_feed(self) -> None:
        self._stop_feed()
        self.end_answer()

    def _stop_feed(self) -> None:
        feed, self._feed = self._feed, None
        if feed is not None:
            feed.stop()

    # Tunnels -----------------------------------------------------------------------------------------------------

    def _open_tunnel(self, reply: Reply, peer: Pipe) -> None:
        """Connect both ends before any byte goes: from the first one on, each may hold the other back."""
        self._peer = peer
        self._write_head(reply, b"", close=False)
        self.deadline = NEVER
        rest = bytes(self._rest or b"") + bytes(self._unread or b"")
        self._rest = self._unread = None
        self.unhold()
        peer.connect(ClientPipe(self))
        if rest:
            peer.write(rest)

    def close(self) -> None:
        """Send what waits, then end."""
        self._close(deadlines.WRITE)

    # Deadlines ---------------------------------------------------------------------------------------------------

    def _mark(self) -> None:
        """Set the one deadline of the state of now; in the same state it stays, so that a trickle wins no time."""
        state = self._waits()
        if not self._ending and state != self._state:
            self._state = state
            self.deadline = self._edge.now() + state[1]

    def _waits(self) -> tuple[str, float]:
        """What the client has to do now, and within how many seconds."""
        if self._peer is not None:
            return "tunnel", NEVER
        if self.blocked:
            leisurely = self._feed is not None and self._leisurely
            return ("read on", deadlines.LEISURE) if leisurely else ("read", deadlines.WRITE)
        if self._current is not None:
            return ("body", deadlines.BODY) if self._current.waiting else ("", NEVER)
        return ("idle", self._edge.keepalive) if self._reader.between else ("head", deadlines.HEAD)

    def expired(self) -> None:
        """The deadline has passed."""
        if self._transport.is_closing():
            self._transport.abort()
        elif self._closing or (self.blocked and not self._ending):
            self._expect_progress()
        elif self._current is not None:
            self._current.fail(late())
        else:
            self._close(deadlines.LINGER)  # idle, or a head that does not come: there is no request to answer

    def _expect_progress(self) -> None:
        unsent = self._transport.get_write_buffer_size()
        if unsent >= self.unsent:
            self._transport.abort()
        self.unsent = unsent
        self.deadline = self._edge.now() + (deadlines.WRITE if self._closing else self._state[1])

    def drain(self) -> None:
        """The listener ends: watches end with a clean last chunk, what is idle goes, the rest may finish."""
        if self._feed is not None:
            self._feed.drain()
        elif self._current is None and self._peer is None and not self._ending and self._reader.between:
            self._close(deadlines.LINGER)

    def __repr__(self) -> str:
        state = (
            "tunnel" if self._peer else "feed" if self._feed else "ending" if self._ending
            else "answering" if self._current else "idle" if self._reader.between else "reading"
        )  # fmt: skip
        return f"<client {state}{' blocked' if self.blocked else ''} waiting={len(self._calls)}>"
