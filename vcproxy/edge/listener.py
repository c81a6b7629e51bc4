"""What a client's connection needs of its listener (vcproxy.server)."""

import socket
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol

from vcproxy.core.http import Call, Reply
from vcproxy.edge.writing import Renderer

if TYPE_CHECKING:
    from vcproxy.edge.connection import Connection

Handler = Callable[[Call], Awaitable[Reply]]


class Edge(Protocol):
    """Its settings, its clock, and its count of connections."""

    @property
    def handler(self) -> Handler: ...
    @property
    def head_limit(self) -> int: ...
    @property
    def keepalive(self) -> float: ...
    @property
    def draining(self) -> bool: ...
    @property
    def date(self) -> bytes: ...
    @property
    def renderer(self) -> Renderer: ...

    def now(self) -> float: ...
    def next_id(self) -> str: ...
    def opened(self, connection: "Connection", sock: socket.socket | None) -> None:
        """Raises ApiError where there are too many connections."""
        ...

    def closed(self, connection: "Connection") -> None: ...
    def claim(self, connection: "Connection", owner: str) -> None:
        """Raises ApiError 429."""
        ...
