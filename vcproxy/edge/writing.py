"""Answers as bytes of HTTP/1.1 (RFC 9112)."""

import http
import re
from typing import Final

from vcproxy.core.http import Headers
from vcproxy.core.status import Status
from vcproxy.edge.reader import Malformed

LAST_CHUNK: Final = b"0\r\n\r\n"
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
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
