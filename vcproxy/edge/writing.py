"""Answers as bytes of HTTP/1.1 (RFC 9112)."""

import http
import re
from typing import Final

from vcproxy.core.http import Headers, Reply
from vcproxy.core.status import Status
from vcproxy.edge.reader import Malformed

LAST_CHUNK: Final = b"0\r\n\r\n"
CHUNKED: Final = b"Transfer-Encoding: chunked\r\n"
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_CLOSE: Final = b"Connection: close\r\n"
PIECE: Final = 65536
"""Bytes of a body that are given to the transport at once."""
KEPT: Final = 512
"""Heads that are kept."""
SMALL: Final = 2048
"""Bytes up to which a head is kept: larger ones are rare, and what comes from a pod may be as large as it likes."""

_control = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_phrases: Final = {code.value: code.phrase for code in http.HTTPStatus}


class Renderer:
    """Renders heads; the few small ones that most answers have are kept."""

    def __init__(self) -> None:
        self._kept: dict[tuple[int, Headers], bytes] = {}

    def head(self, code: int, headers: Headers) -> bytes:
        """The status line and the headers, each with its end; the empty line is the caller's."""
        key = code, headers
        found = self._kept.get(key)
        if found is None:
            found = _head(code, headers)
            if len(found) <= SMALL:
                self._keep(key, found)
        return found

    def _keep(self, key: tuple[int, Headers], head: bytes) -> None:
        if len(self._kept) >= KEPT:
            self._kept.clear()
        self._kept[key] = head


def head(reply: Reply, renderer: Renderer, date: bytes, framing: bytes, *, close: bool) -> bytes:
    """The head of an answer; `framing` are the headers that say where its body ends."""
    rendered = renderer.head(reply.code, reply.headers)
    return b"%bDate: %b\r\n%b%b\r\n" % (rendered, date, _CLOSE if close else b"", framing)


def whole(
    reply: Reply, renderer: Renderer, date: bytes, *, close: bool, bodiless: bool
) -> tuple[bytes, memoryview | None]:
    """The head and a small body in one; of a large one the body is left, None where nothing is.

    `bodiless`: the client asked for the head alone.
    """
    if reply.code == 204:  # it has no length either (RFC 9110 8.6)
        return head(reply, renderer, date, b"", close=close), None
    size = len(reply.body)
    body = b"" if bodiless or reply.code == 304 else reply.body
    first = body if size <= PIECE else b""
    raw = b"%bDate: %b\r\n%bContent-Length: %d\r\n\r\n%b" % (
        renderer.head(reply.code, reply.headers), date, _CLOSE if close else b"", size, first,
    )  # fmt: skip
    return raw, memoryview(body) if first is not body and body else None


def _head(code: int, headers: Headers) -> bytes:
    lines = [f"HTTP/1.1 {code} {_phrases.get(code, 'Unknown')}", *(f"{name}: {_value(text)}" for name, text in headers)]
    return "".join(f"{line}\r\n" for line in lines).encode("latin-1", "replace")


def _value(text: str) -> str:
    """A header's value without what would end the line: whatever stood in a text, it stays one header."""
    return _control.sub(" ", text)


def refusal(malformed: Malformed) -> tuple[Headers, bytes]:
    """The one Status for what is no request; nothing of the input is in it."""
    body = Status(malformed.code, malformed.reason, malformed.message).encode()
    return (("Content-Type", "application/json"), ("Cache-Control", "no-cache, private")), body
