"""A host that falls silent without a word: power, a cable, a firewall that forgets. TCP finds out, by asking.

Most waits for the host have deadlines of their own. Not so `logs -f` of a container that says nothing, and tunnels: for
them quiet is no fault, only a host that does not answer TCP's own probes is gone.
"""

import socket
from typing import Final, Protocol

GONE: Final = 60.0
"""Seconds after which a host that acknowledges nothing is gone. A minute outlasts the change of a virtual address or
of a route; every request that waits meanwhile has its own, shorter deadline (`limits.hostTimeout`)."""
_PROBED: Final = 20
"""Seconds of quiet before the first probe."""
_EVERY: Final = 10
"""Seconds between two probes."""
_PROBES: Final = 4
"""Probes without an answer after which the host is gone: as many as make up `GONE`."""


class Socket(Protocol):
    """What is needed of a socket, asyncio's or uvloop's."""

    def setsockopt(self, level: int, option: int, value: int, /) -> None: ...


def watch_over(sock: Socket) -> None:
    """Let TCP end this connection when the host acknowledges nothing for `GONE` seconds (tcp(7))."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _PROBED)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _EVERY)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _PROBES)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(GONE * 1000))


def let_wait(sock: Socket) -> None:
    """Allow the far end of a tunnel to read nothing for as long as it likes.

    With a user timeout Linux also ends a connection whose peer answers every probe but keeps its window shut
    (tcp_timer.c: tcp_probe_timer): a pod that does not read its stdin. Probes of a quiet tunnel stay; a host that is
    gone with bytes on their way to it is noticed after some 15 minutes (tcp_retries2).
    """
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 0)
