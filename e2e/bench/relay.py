"""The least that a watch could cost here: one host watch, its bytes written as they are to all who ask (uvloop, TLS).

No request is looked at, nothing is authorised, rewritten or accounted: what is left is a TLS record and a write(2) for
each client and event, paid by the same libraries that vcproxy stands on. Run as a process: python -m e2e.bench.relay.
"""

import argparse
import asyncio
import ssl
from typing import Final, cast

import uvloop

HEAD: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
_LIST: Final = b'{"metadata":{"resourceVersion":"1"}}'
OTHER: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
    len(_LIST),
    _LIST,
)
BACKLOG: Final = 4096


class Host(asyncio.Protocol):
    """The one watch: what comes behind its head goes to all clients, framed as it came."""

    def __init__(self, clients: "set[Client]") -> None:
        self._clients = clients
        self._begun = False

    def data_received(self, data: bytes) -> None:
        if not self._begun:
            _, end, data = data.partition(b"\r\n\r\n")
            self._begun = bool(end)
        if data:
            for client in self._clients:
                client.transport.write(data)


class Client(asyncio.Protocol):
    """Who asks for a watch is told what the host tells from now on; who asks for anything else gets an empty list."""

    transport: asyncio.Transport

    def __init__(self, clients: "set[Client]") -> None:
        self._clients = clients

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        watching = b"watch=" in data.partition(b"\r\n")[0]
        self.transport.write(HEAD if watching else OTHER)
        if watching:
            self._clients.add(self)

    def connection_lost(self, _error: Exception | None) -> None:
        self._clients.discard(self)


async def relay(given: argparse.Namespace) -> None:
    """Until it is ended by a signal."""
    loop = asyncio.get_running_loop()
    clients = set[Client]()
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(given.cert, given.key)
    asking = ssl.create_default_context(cafile=given.ca)
    asking.load_cert_chain(given.client_cert, given.client_key)
    transport, _ = await loop.create_connection(lambda: Host(clients), given.host, given.port, ssl=asking)
    transport.write(f"GET {given.watch} HTTP/1.1\r\nHost: {given.host}\r\n\r\n".encode())
    await loop.create_server(lambda: Client(clients), "127.0.0.1", given.listen, ssl=serving, backlog=BACKLOG)
    await asyncio.Event().wait()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m e2e.bench.relay")
    for name in ("--ca", "--cert", "--key", "--client-cert", "--client-key", "--host", "--watch"):
        parser.add_argument(name, required=True)
    for name in ("--port", "--listen"):
        parser.add_argument(name, type=int, required=True)
    uvloop.run(relay(parser.parse_args()))


if __name__ == "__main__":
    main()
