"""Requests as bytes: what no HTTP library would send."""

import re
import ssl
from collections.abc import Iterable

from e2e.client import Client

_status = re.compile(rb"^HTTP/1\.[01] (\d{3}) ", re.MULTILINE)


def request(method: str, target: str, headers: Iterable[tuple[str, str]] = (), body: bytes = b"") -> bytes:
    """A request, byte by byte as said; no header is added."""
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers)]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def bearing(client: Client, *others: tuple[str, str]) -> list[tuple[str, str]]:
    """Host and credential, and then what is said beside them."""
    return [("Host", f"{client.host}:{client.port}"), ("Authorization", f"Bearer {client.token}"), *others]


def exchange(client: Client, raw: bytes, wait: float = 1.5) -> bytes:
    """All that comes back until the other end closes, or is silent for `wait` seconds."""
    received = b""
    with client.tls_socket() as connection:
        connection.settimeout(wait)
        try:
            connection.sendall(raw)
            while chunk := connection.recv(65536):
                received += chunk
        except (TimeoutError, ConnectionError, ssl.SSLError):
            pass  # silence, or an end without manners: what was said counts
    client.received.append(received)
    return received


def codes(received: bytes) -> list[int]:
    """The codes of the answers in what was received."""
    return [int(code) for code in _status.findall(received)]
