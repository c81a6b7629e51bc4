"""Bytes of a client, read as HTTP/1.1 (RFC 9112): heads, pieces of bodies, ends; or the reason why they are none.

llhttp (httptools) does the syntax, strictly. What it lets through and this program does not want is refused here:
other versions, framings that two readers could read in two ways, names of headers that a reader behind could spell
differently (CVE-2024-52304, CVE-2025-53643 and their kin), and everything without a bound.
"""

from typing import Final, Protocol

import httptools
import msgspec

TRIFLES: Final = 65536
"""Bytes that the framing of a chunked body may take beyond what the body itself has: one-byte chunks are an attack."""


class Malformed(Exception):  # noqa: N818 - what the client sent is at fault
    """What came is not a request that is served: the connection ends with one Status of this code."""

    def __init__(self, message: str, code: int = 400, reason: str = "BadRequest") -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.reason = reason


class Head(msgspec.Struct):
    """A request's head. `length` is that of the body in bytes, None if it is chunked; header names as they came."""

    method: str
    target: bytes
    headers: dict[bytes, list[bytes]]
    length: int | None = 0
    upgrade: bool = False
    close: bool = False

    def weight(self) -> int:
        """Bytes of the target and of the headers."""
        values = sum(len(value) for values in self.headers.values() for value in values)
        return len(self.target) + sum(map(len, self.headers)) + values


class Receiver(Protocol):
    """What is told of a client's bytes, in order."""

    def head(self, head: Head) -> None: ...

    def body(self, data: bytes) -> None: ...

    def end(self) -> None: ...

    def upgraded(self, rest: bytes) -> None:
        """A head that asks for another protocol has ended; `rest` are the bytes behind it."""
        ...


class Reader:
    """Reads one connection. `feed` raises Malformed; nothing may be fed after that. `head_limit` is in bytes."""

    __slots__ = (
        "_begun", "_body_bytes", "_fed", "_head_bytes", "_headers", "_in_head", "_parser", "_receiver", "_size",
        "_started", "_target", "_trailers", "head_limit",
    )  # fmt: skip

    def __init__(self, receiver: Receiver, head_limit: int) -> None:
        self._receiver = receiver
        self.head_limit = head_limit
        self._parser = httptools.HttpRequestParser(self)
        self._in_head = True
        self._started = False
        self._trailers = False
        self._head_bytes = self._fed = self._body_bytes = self._size = self._begun = 0
        self._target: list[bytes] = []
        self._headers: list[tuple[bytes, bytes]] = []

    @property
    def between(self) -> bool:
        """Whether no request has begun that has not ended."""
        return self._in_head and not self._started

    def feed(self, data: bytes) -> None:
        """Take the next bytes. Raises Malformed."""
        self._size = len(data)
        if self._in_head:
            self._head_bytes += self._size
        else:
            self._fed += self._size
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._receiver.upgraded(data[upgrade.args[0] :])
            return
        except httptools.HttpParserCallbackError as error:
            if isinstance(error.__context__, Malformed):
                raise error.__context__ from None
            raise
        except httptools.HttpParserError:
            raise Malformed("the request is not valid HTTP/1.1") from None
        self._check_bounds()

    def _check_bounds(self) -> None:
        if self._in_head and self._head_bytes > self.head_limit:
            raise _head_too_large()
        if not self._in_head and self._fed - self._body_bytes > TRIFLES + self._body_bytes:
            raise Malformed("the framing of the body is larger than the body")

    # What httptools calls --------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self._target, self._headers = [], []
        self._started, self._trailers = True, False
        self._begun = self._size

    def on_url(self, url: bytes) -> None:
        self._target.append(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._trailers:
            raise Malformed("trailers are not taken: send headers in the head of the request")
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        parser = self._parser
        head = _head(b"".join(self._target), self._headers, parser.get_method(), parser.get_http_version())
        if self._begun + self._head_bytes > self.head_limit:  # it may be less: what stands before and behind counts in
            self._check_head()
        head.upgrade = parser.should_upgrade()
        if head.upgrade and head.length != 0:
            raise Malformed("a request to switch protocols has no body")
        head.close = not parser.should_keep_alive()
        self._in_head, self._trailers = False, True
        self._head_bytes = self._fed = self._body_bytes = 0
        self._receiver.head(head)

    def _check_head(self) -> None:
        target = sum(map(len, self._target))
        if target + sum(len(name) + len(value) for name, value in self._headers) > self.head_limit:
            raise _head_too_large()

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        self._receiver.body(body)

    def on_message_complete(self) -> None:
        self._in_head, self._started = True, False
        self._receiver.end()


def _head_too_large() -> Malformed:
    return Malformed("the head of the request is too large", 431, "RequestHeaderFieldsTooLarge")


def _head(target: bytes, pairs: list[tuple[bytes, bytes]], method: bytes, version: str) -> Head:
    if version != "1.1":
        raise Malformed("HTTP/1.1 is served, no other version", 505, "HTTPVersionNotSupported")
    headers: dict[bytes, list[bytes]] = {}
    for name, value in pairs:
        key = name.lower()
        if key in headers:
            headers[key].append(value)
        else:
            headers[key] = [value]
        if b"_" in key:
            raise Malformed("a header's name may not hold an underscore")
    if len(headers.get(b"host", ())) != 1:
        raise Malformed("the header Host must stand exactly once")
    if not target.startswith(b"/") or method == b"CONNECT":
        raise Malformed("the request target must be a path")
    return Head(method.decode("ascii"), target, headers, _length(headers))


def _length(headers: dict[bytes, list[bytes]]) -> int | None:
    """The length of the body, None for a chunked one (RFC 9112 6.3). Raises Malformed for every other framing."""
    coding = headers.get(b"transfer-encoding")
    if coding is None:
        length = headers.get(b"content-length")
        return int(length[0]) if length is not None else 0
    if len(coding) != 1 or coding[0].lower() != b"chunked":
        raise Malformed("Transfer-Encoding may be chunked, nothing else")
    return None
