"""Watch streams: JSON events, a line each, cut from chunks of any size."""

from collections.abc import Iterator

from vcproxy.core.status import bad_gateway


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
