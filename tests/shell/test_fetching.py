"""One document of an address: whatever is odd about the answer, nothing usable came."""

import asyncio

import pytest

from vcproxy.access import certificates
from vcproxy.access.fetching import DOCUMENT_LIMIT, Fetcher, UnreachableError

CA = certificates.make_ca()


class Answering:
    """An HTTPS server that answers everything alike."""

    def __init__(self, body: bytes, code: int = 200) -> None:
        self._answer = f"HTTP/1.1 {code} X\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(self._answer)
        await writer.drain()
        writer.close()


async def ask(body: bytes, code: int = 200, ca: str = "") -> object:
    context = certificates.of_ca(lambda: CA, ["localhost"]).context()
    server = await asyncio.start_server(Answering(body, code).serve, "127.0.0.1", 0, ssl=context)
    async with server:
        port = server.sockets[0].getsockname()[1]
        return await Fetcher(ca or CA.certificate.decode(), 5.0).ask(f"https://localhost:{port}/", b"{}")


async def test_a_document_is_read() -> None:
    assert await ask(b'{"a": [1]}', 201) == {"a": [1]}


@pytest.mark.parametrize(
    ("body", "code"),
    [(b"[" * 100_000, 200), (b"{", 200), (b"", 200), (b"[]", 500), (b"[]", 302), (b" " * DOCUMENT_LIMIT + b"[]", 200)],
)
async def test_an_odd_answer_is_none(body: bytes, code: int) -> None:
    with pytest.raises(UnreachableError):
        await ask(body, code)


async def test_a_server_of_another_ca_is_not_believed() -> None:
    with pytest.raises(UnreachableError):
        await ask(b"[]", ca=certificates.make_ca().certificate.decode())
