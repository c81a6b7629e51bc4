"""exec and attach over a WebSocket, frame by frame: for protocols that kubectl does not speak any more (v4)."""

import base64
import contextlib
import os
import struct
import urllib.parse
from collections.abc import Sequence
from typing import Any, Final, Self

from e2e.client import Client

STDIN: Final = 0
STDOUT: Final = 1
STDERR: Final = 2
ERROR: Final = 3
CLOSE: Final = 255
"""Channels: the first byte of each message. On ERROR a Status comes at the end; CLOSE is v5's alone."""
BINARY: Final = 0x2
CLOSED: Final = 0x8
MASK: Final = b"\0\0\0\0"
"""Clients have to mask what they send (RFC 6455 5.3); this one changes no byte."""


class Refused(Exception):  # noqa: N818 - an answer, not a failure of this program
    """An answer other than 101: its code and body."""

    def __init__(self, code: int, body: bytes) -> None:
        super().__init__(f"{code}: {body.decode(errors='replace')}")
        self.code, self.body = code, body


class WebSocket:
    """A tunnel of channels. Raises Refused where there is none, TimeoutError after `silence` seconds of it."""

    def __init__(self, client: Client, target: str, protocol: str, silence: float = 30.0) -> None:
        self._socket = client.tls_socket()
        self._socket.settimeout(silence)
        self._rest = b""
        head = [
            f"GET {target} HTTP/1.1",
            f"Host: {client.host}:{client.port}",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
            f"Sec-WebSocket-Protocol: {protocol}",
            *([f"Authorization: Bearer {client.token}"] if client.token else []),
        ]
        try:
            self._socket.sendall("\r\n".join([*head, "", ""]).encode())
            self.protocol = self._agreed()
        except BaseException:
            self._socket.close()
            raise

    def send(self, channel: int, data: bytes) -> None:
        """Raises OSError."""
        payload = bytes((channel,)) + data
        assert len(payload) < 1 << 16
        length = struct.pack("!BH", 0xFE, len(payload)) if len(payload) > 125 else bytes((0x80 | len(payload),))
        self._socket.sendall(bytes((0x80 | BINARY,)) + length + MASK + payload)

    def receive(self) -> tuple[int, bytes] | None:
        """The next message: channel and data; None at the end. Raises OSError where it was broken off."""
        while True:
            kind, size = self._exactly(2)
            if size == 126:
                (size,) = struct.unpack("!H", self._exactly(2))
            elif size == 127:
                (size,) = struct.unpack("!Q", self._exactly(8))
            payload = self._exactly(size)
            if kind & 0xF == CLOSED:
                return None
            if kind & 0xF == BINARY and payload[1:]:
                return payload[0], payload[1:]

    def rest(self) -> dict[int, bytes]:
        """All that comes until the end, by channel."""
        found: dict[int, bytes] = {}
        while (message := self.receive()) is not None:
            found[message[0]] = found.get(message[0], b"") + message[1]
        return found

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()

    def _agreed(self) -> str:
        """The protocol that the other side took."""
        while b"\r\n\r\n" not in self._rest:
            self._more()
        head, _, self._rest = self._rest.partition(b"\r\n\r\n")
        lines = head.decode().splitlines()
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        code = int(lines[0].split()[1])
        if code != 101:
            raise Refused(code, self._exactly(int(fields.get("content-length", "0"))))
        return fields.get("sec-websocket-protocol", "")

    def _exactly(self, size: int) -> bytes:
        while len(self._rest) < size:
            self._more()
        found, self._rest = self._rest[:size], self._rest[size:]
        return found

    def _more(self) -> None:
        data = self._socket.recv(65536)
        if not data:
            raise ConnectionResetError("it was broken off")
        self._rest += data


def exec_target(namespace: str, pod: str, command: Sequence[str], *, stdin: bool = False) -> str:
    """The path of an exec that wants output and errors."""
    query = [("command", word) for word in command] + [("stdout", "true"), ("stderr", "true")]
    query += [("stdin", "true")] if stdin else []
    return f"/api/v1/namespaces/{namespace}/pods/{pod}/exec?{urllib.parse.urlencode(query)}"
