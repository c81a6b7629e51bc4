"""A host of raw bytes: each test scripts what it says on each connection. And certificates, made at run time."""

import asyncio
import contextlib
import datetime
import ipaddress
import re
import ssl
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Script = Callable[["Line"], Awaitable[None]]
_length = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)


class Line:
    """One connection as the host sees it. `number` counts from 0 in the order in which they were opened."""

    def __init__(self, host: "RawHost", reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.number = len(host.lines)
        self.sent = 0
        self.ended = False
        self._host, self._reader, self._writer = host, reader, writer
        host.lines.append(self)

    async def request(self) -> bytes:
        """The next request, head and body. Raises IncompleteReadError when the client has gone."""
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = _length.search(head)
        raw = head + (await self._reader.readexactly(int(length[1])) if length else b"")
        self._host.requests.append(raw)
        return raw

    async def target(self) -> bytes:
        """The path of the next request."""
        return (await self.request()).split(b" ")[1]

    async def read(self) -> bytes:
        """Raw bytes of a tunnel; b"" when it has ended."""
        return await self._reader.read(65536)

    async def send(self, *parts: bytes, pause: float = 0.0) -> None:
        """Each part by itself, with at least one turn of the loop between."""
        for part in parts:
            self._writer.write(part)
            await self._writer.drain()
            self.sent += len(part)
            await asyncio.sleep(pause)

    async def gone(self) -> None:
        """Wait until the client has ended the connection."""
        with contextlib.suppress(ConnectionError):
            while await self._reader.read(65536):
                pass
        self.ended = True

    def reset(self) -> None:
        self._writer.transport.abort()


class RawHost:
    """Runs `script` for each connection and closes it when the script ends."""

    def __init__(self, script: Script) -> None:
        self.lines: list[Line] = []
        self.requests: list[bytes] = []
        self.port = 0
        self._script = script
        self._running: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        try:
            await self._script(Line(self, reader, writer))
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._running.discard(task)
            writer.close()
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()

    async def stop(self) -> None:
        for task in tuple(self._running):
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)


@asynccontextmanager
async def raw_host(script: Script, tls: ssl.SSLContext | None = None) -> AsyncIterator[RawHost]:
    host = RawHost(script)
    server = await asyncio.start_server(host.serve, "127.0.0.1", 0, ssl=tls)
    host.port = server.sockets[0].getsockname()[1]
    try:
        yield host
    finally:
        server.close()
        await host.stop()


def answer(body: bytes = b"", code: str = "200 OK", *headers: str) -> bytes:
    """A whole answer with a length."""
    lines = [f"HTTP/1.1 {code}", *headers, f"Content-Length: {len(body)}"]
    return "".join(f"{line}\r\n" for line in lines).encode() + b"\r\n" + body


class Authority:
    """A certificate authority of a few minutes."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
        constraints = x509.BasicConstraints(ca=True, path_length=None)
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        builder = _builder(self._name, self._name, self._key.public_key(), days=1)
        self._identifier = x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())
        builder = builder.add_extension(constraints, critical=True).add_extension(usage, critical=True)
        builder = builder.add_extension(self._identifier, critical=False)
        self.pem = builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def client(self) -> ssl.SSLContext:
        """A client's context that trusts this authority alone."""
        return ssl.create_default_context(cadata=self.pem.decode())

    def server(self, *, address: str = "127.0.0.1", days: int = 1) -> ssl.SSLContext:
        """A server's context with a certificate for `address` that ends in `days`."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "host")])
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
        builder = _builder(name, self._name, key.public_key(), days=days).add_extension(names, critical=False)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(self._identifier)
        certificate = builder.add_extension(issuer, critical=False).sign(self._key, hashes.SHA256())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.NamedTemporaryFile() as file:
            file.write(certificate.public_bytes(serialization.Encoding.PEM))
            encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
            file.write(key.private_bytes(encoding, form, serialization.NoEncryption()))
            file.flush()
            context.load_cert_chain(file.name)
        return context


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, days: int
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key)
    begin, end = now - datetime.timedelta(days=9), now + datetime.timedelta(days=days)
    return builder.serial_number(x509.random_serial_number()).not_valid_before(begin).not_valid_after(end)
