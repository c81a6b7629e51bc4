"""A client's connection as what stands behind its answer sees it: the sink of a feed, one end of a tunnel."""

from typing import Protocol

from vcproxy.core.http import Pipe


class Line(Protocol):
    """What both need of the connection."""

    @property
    def blocked(self) -> bool:
        """Whether the client is behind."""
        ...

    def write(self, frames: bytes) -> None: ...
    def end_feed(self) -> None:
        """End the answer cleanly."""
        ...

    def abort(self) -> None: ...
    def hold(self) -> None:
        """Read no more for now."""
        ...

    def unhold(self) -> None: ...
    def close(self) -> None:
        """Send what waits, then end."""
        ...


class FeedSink:
    """The connection as its feed sees it."""

    __slots__ = ("_connection",)

    def __init__(self, connection: Line) -> None:
        self._connection = connection

    @property
    def blocked(self) -> bool:
        return self._connection.blocked

    def write(self, frames: bytes) -> None:
        self._connection.write(frames)

    def end(self) -> None:
        self._connection.end_feed()

    def abort(self) -> None:
        self._connection.abort()


class ClientPipe:
    """The connection as the other end of its tunnel sees it."""

    __slots__ = ("_connection",)

    def __init__(self, connection: Line) -> None:
        self._connection = connection

    def connect(self, peer: Pipe) -> None:
        """The connection knows its peer already."""

    def write(self, data: bytes) -> None:
        self._connection.write(data)

    def pause(self) -> None:
        self._connection.hold()

    def resume(self) -> None:
        self._connection.unhold()

    def close(self) -> None:
        self._connection.close()
