"""An HTTP proxy that people have between themselves and the world: CONNECT (RFC 9110 9.3.6), any name to one address.

A kubeconfig's `proxy-url` leads through it, so that clients use host names that no DNS knows.
"""

import contextlib
import shutil
import socket
import threading
from typing import IO, Final

HEAD_LIMIT: Final = 4096
DEADLINE: Final = 60.0


class Crossing:
    """Runs until `stop`; `asked` has the authorities that clients wanted to reach, in order."""

    def __init__(self, host: str, port: int) -> None:
        self._to = (host, port)
        self.asked: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # the listener was closed
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        client.settimeout(DEADLINE)
        with client, contextlib.suppress(OSError, ValueError), client.makefile("rb") as head:
            verb, authority, _ = head.readline(HEAD_LIMIT).decode().split(" ", 2)
            while head.readline(HEAD_LIMIT).strip():
                pass
            if verb != "CONNECT":
                raise ValueError(verb)
            self.asked.append(authority)
            with socket.create_connection(self._to, DEADLINE) as server:
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                back = threading.Thread(target=_copy, args=(server.makefile("rb", 0), client), daemon=True)
                back.start()
                _copy(client.makefile("rb", 0), server)
                back.join(DEADLINE)


def _copy(source: IO[bytes] | socket.SocketIO, target: socket.socket) -> None:
    """Until either end is gone; then the other one hears of it."""
    with contextlib.suppress(OSError), target.makefile("wb", 0) as out:
        shutil.copyfileobj(source, out, 65536)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
