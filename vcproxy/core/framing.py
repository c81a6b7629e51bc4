"""Framing: lines of JSON cut from chunks of any size, and chunks of HTTP/1.1 made of data."""

from collections.abc import Iterator

from vcproxy.core.status import bad_gateway


def chunk(data: bytes) -> bytes:
    """Data as one chunk of a chunked body (RFC 9112 7.1). Empty data would end the body, so it gives nothing."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


class Frames:
    """Cuts lines out of chunks. A line longer than `limit` bytes raises ApiError 502: a buffer has a bound."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._rest = bytearray()

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The lines that this chunk completes, without their ends; empty ones are left out."""
        self._rest += chunk
        if b"\n" not in chunk:
            self._check()
            return
        *lines, rest = bytes(self._rest).split(b"\n")
        self._rest = bytearray(rest)
        self._check()
        yield from (line for line in lines if line.strip())

    def end(self) -> bytes:
        """What is left when the stream ended: an event that broke off, or nothing."""
        return bytes(self._rest).strip()

    def _check(self) -> None:
        if len(self._rest) > self._limit:
            raise bad_gateway()
