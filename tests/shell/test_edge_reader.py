"""The reader of requests: fed whole, byte by byte and in any cuts, and beside another server on the same bytes."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web  # noqa: TID251 - the other server
from hypothesis import given
from hypothesis import strategies as st

from vcproxy.core.http import Call, Reply, refused
from vcproxy.core.status import ApiError
from vcproxy.edge.reader import Head, Malformed, Reader
from vcproxy.server import Server, ServerSettings

LIMIT = 4096
Request = tuple[str, str, bytes]
GET: Request = ("GET", "/", b"")
POST = b"POST /p HTTP/1.1\r\nHost: a\r\n"


class Recorder:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.requests: list[list[Any]] = []
        self.ended = 0
        self.rest: bytes | None = None

    def head(self, head: Head) -> None:
        self.requests.append([head.method, head.target.decode("latin-1"), b""])

    def body(self, data: bytes) -> None:
        self.requests[-1][2] += data

    def end(self) -> None:
        self.ended += 1

    def upgraded(self, rest: bytes) -> None:
        self.rest = rest

    @property
    def whole(self) -> list[Request]:
        return [(method, target, body) for method, target, body in self.requests[: self.ended]]


GOOD: dict[str, tuple[bytes, list[Request]]] = {
    "a get": (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", [GET]),
    "a query": (b"GET /a?b=c&d HTTP/1.1\r\nHost: a\r\n\r\n", [("GET", "/a?b=c&d", b"")]),
    "a body": (POST + b"Content-Length: 2\r\n\r\nhi", [("POST", "/p", b"hi")]),
    "an empty body": (POST + b"Content-Length: 0\r\n\r\n", [("POST", "/p", b"")]),
    "a chunked body": (
        POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n3;x=y\r\n yo\r\n0\r\n\r\n",
        [("POST", "/p", b"hi yo")],
    ),
    "two in one go": (
        POST + b"Content-Length: 2\r\n\r\nhiGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        [("POST", "/p", b"hi"), GET],
    ),
    "odd case": (b"GET / HTTP/1.1\r\nhOsT: a\r\n\r\n", [GET]),
    "empty lines before it": (b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", [GET]),
    "a value with spaces around": (b"GET / HTTP/1.1\r\nHost: a\r\nX:   b   \r\n\r\n", [GET]),
}
BAD: dict[str, bytes] = {
    "nonsense": b"NONSENSE\r\n\r\n",
    "both lengths": POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "another coding": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "two codings": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked twice": POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "identity": POST + b"Transfer-Encoding: identity\r\nContent-Length: 2\r\n\r\nhi",
    "a bare line feed": b"GET / HTTP/1.1\nHost: a\n\n",
    "a bare line feed between headers": b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
    "a line feed in a chunk extension": POST + b"Transfer-Encoding: chunked\r\n\r\n1;a\nb\r\nx\r\n0\r\n\r\n",
    "a line feed after a chunk's size": POST + b"Transfer-Encoding: chunked\r\n\r\n1\nx\r\n0\r\n\r\n",
    "a chunk's size that is none": POST + b"Transfer-Encoding: chunked\r\n\r\n-1\r\nx\r\n0\r\n\r\n",
    "a chunk longer than it says": POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\nxy\r\n0\r\n\r\n",
    "a trailer": POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nImpersonate-User: root\r\n\r\n",
    "a folded line": b"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n folded\r\n\r\n",
    "a space in a name": b"GET / HTTP/1.1\r\nHost: a\r\nA b: c\r\n\r\n",
    "a space before the colon": b"GET / HTTP/1.1\r\nHost: a\r\nX : c\r\n\r\n",
    "an underscore in a name": b"GET / HTTP/1.1\r\nHost: a\r\nImpersonate_User: root\r\n\r\n",
    "no name": b"GET / HTTP/1.1\r\nHost: a\r\n: c\r\n\r\n",
    "NUL in a value": b"GET / HTTP/1.1\r\nHost: a\r\nX: b\x00c\r\n\r\n",
    "a carriage return in a value": b"GET / HTTP/1.1\r\nHost: a\r\nX: b\rc\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "an absolute target": b"GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n",
    "an asterisk": b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    "a connect": b"CONNECT b:1 HTTP/1.1\r\nHost: a\r\n\r\n",
    "a connect to a path": b"CONNECT /b HTTP/1.1\r\nHost: a\r\n\r\n",
    "HTTP/1.0": b"GET / HTTP/1.0\r\nHost: a\r\n\r\n",
    "HTTP/2.0": b"GET / HTTP/2.0\r\nHost: a\r\n\r\n",
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a signed length": POST + b"Content-Length: +2\r\n\r\nhi",
    "a negative length": POST + b"Content-Length: -2\r\n\r\nhi",
    "a length twice": POST + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nhi",
    "a list of lengths": POST + b"Content-Length: 2, 2\r\n\r\nhi",
    "a switch of protocols with a body": POST + b"Upgrade: x\r\nConnection: upgrade\r\nContent-Length: 2\r\n\r\nhi",
    "a space in the target": b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
    "a target beyond ASCII": b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n",
    "a head without an end": b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * LIMIT + b"\r\n\r\n",
    "a target without an end": b"GET /" + b"y" * LIMIT + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    "many headers": b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * LIMIT + b"\r\n",
}
STRICTER = {
    "HTTP/1.0", "HTTP/2.0", "a trailer", "an underscore in a name", "an absolute target", "an asterisk", "a connect",
    "a connect to a path", "a target without an end",
    "no host", "two codings", "a switch of protocols with a body", "a head without an end", "many headers", "two hosts",
    "the preface of HTTP/2", "a target beyond ASCII", "identity",
}  # fmt: skip
"""What another server may take: refused here on purpose."""


def read(pieces: list[bytes]) -> tuple[list[Request], int]:
    """The requests that were read whole, and the code of the refusal or 0."""
    recorder = Recorder()
    reader = Reader(recorder, LIMIT)
    try:
        for piece in pieces:
            reader.feed(piece)
    except Malformed as malformed:
        return recorder.whole, malformed.code
    return recorder.whole, 0


def bytewise(raw: bytes) -> list[bytes]:
    return [raw[at : at + 1] for at in range(len(raw))]


def cut(raw: bytes, at: list[int]) -> list[bytes]:
    ends = sorted({one % len(raw) for one in at} | {0})
    return [raw[begin:end] for begin, end in zip(ends, [*ends[1:], len(raw)], strict=True)]


@pytest.mark.parametrize("name", GOOD)
def test_a_request_is_read_whole_and_byte_by_byte(name: str) -> None:
    raw, wanted = GOOD[name]
    assert read([raw]) == (wanted, 0)
    assert read(bytewise(raw)) == (wanted, 0)


@given(st.sampled_from(sorted(GOOD)), st.lists(st.integers(0, 10_000), max_size=6))
def test_where_the_bytes_are_cut_does_not_matter(name: str, at: list[int]) -> None:
    raw, wanted = GOOD[name]
    assert read(cut(raw, at)) == (wanted, 0)


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_request_is_refused_whole_and_byte_by_byte(name: str) -> None:
    found, code = read([BAD[name]])
    assert (found, code >= 400) == ([], True)
    found, code = read(bytewise(BAD[name]))
    assert (found, code >= 400) == ([], True)


@given(st.sampled_from(sorted(BAD)), st.lists(st.integers(0, 10_000), max_size=6))
def test_a_refusal_does_not_depend_on_cuts(name: str, at: list[int]) -> None:
    assert read(cut(BAD[name], at))[1] >= 400


@given(st.sampled_from(sorted(GOOD)), st.sampled_from(sorted(BAD)), st.lists(st.integers(0, 10_000), max_size=4))
def test_what_came_before_a_refusal_counts(good: str, bad: str, at: list[int]) -> None:
    raw, wanted = GOOD[good]
    assert read(cut(raw + BAD[bad], at)) == (wanted, read([BAD[bad]])[1])


@given(st.binary(max_size=300))
def test_no_bytes_make_it_fail_in_another_way(raw: bytes) -> None:
    read([raw])
    read(bytewise(raw))


GET_RAW = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
SKIPPED = {
    "a bare line feed before it": b"\n" + GET_RAW,
    "a carriage return before it": b"\r" + GET_RAW,
    "two spaces before its target": GET_RAW.replace(b" /", b"  /"),
    "two spaces behind its target": GET_RAW.replace(b"/ ", b"/  "),
}
"""What llhttp skips. It belongs to no request, whoever reads it."""


@pytest.mark.parametrize("name", SKIPPED)
def test_what_is_skipped_before_and_within_a_request_line_moves_no_boundary(name: str) -> None:
    for pieces in ([SKIPPED[name] * 2], bytewise(SKIPPED[name] * 2)):
        assert read(pieces) == ([GET, GET], 0)


def test_a_large_head_is_refused_though_it_began_in_the_read_of_the_request_before() -> None:
    raw = GOOD["a body"][0] + BAD["a target without an end"]
    for at in range(0, len(raw), 97):
        assert read([raw[:at], raw[at:]]) == ([("POST", "/p", b"hi")], 431)


def test_bytes_behind_a_switch_of_protocols_are_kept() -> None:
    recorder = Recorder()
    Reader(recorder, LIMIT).feed(b"GET /x HTTP/1.1\r\nHost: a\r\nUpgrade: SPDY/3.1\r\nConnection: Upgrade\r\n\r\nearly")
    assert (recorder.whole, recorder.rest) == ([("GET", "/x", b"")], b"early")


@pytest.mark.parametrize("size", [1, 2])
def test_a_body_in_the_smallest_chunks_is_refused_when_it_is_large(size: int) -> None:
    chunk = b"%x\r\n%b\r\n" % (size, b"x" * size)
    raw = POST + b"Transfer-Encoding: chunked\r\n\r\n"
    assert read([raw, *[chunk * 100 for _ in range(1000)], b"0\r\n\r\n"])[1] == 400
    assert read([raw, chunk * 100, b"0\r\n\r\n"]) == ([("POST", "/p", b"x" * size * 100)], 0)


def test_an_endless_chunk_extension_is_refused() -> None:
    raw = POST + b"Transfer-Encoding: chunked\r\n\r\n1;"
    assert read([raw, *[b"x" * 10_000 for _ in range(10)]])[1] == 400


# Beside another server ------------------------------------------------------------------------------------------------


def shown(method: str, target: str, body: bytes) -> bytes:
    return json.dumps([method, target, body.decode("latin-1")]).encode() + b"\n"


async def ours(call: Call) -> Reply:
    try:
        return Reply(200, body=shown(call.method, call.target.decode("latin-1"), await call.read(100_000)))
    except ApiError as refusal:
        return refused(refusal.status)


async def others(request: web.BaseRequest) -> web.Response:
    return web.Response(body=shown(request.method, request.raw_path, await request.read()))


@asynccontextmanager
async def both() -> AsyncIterator[tuple[int, int]]:
    server = Server(ours, ServerSettings("127.0.0.1", 0, LIMIT, drain=0.2), None)
    await server.start()
    runner = web.ServerRunner(web.Server(others), handle_signals=False, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield server.port, int(runner.addresses[0][1])
    finally:
        await runner.cleanup()
        await server.drain()


async def exchanged(port: int, raw: bytes) -> tuple[list[Any], bool]:
    """The requests that a server says it read, and whether it refused something."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(raw)
    received = b""
    with contextlib.suppress(TimeoutError, ConnectionError):
        while piece := await asyncio.wait_for(reader.read(65536), 0.5):
            received += piece
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
    read = [json.loads(line) for line in received.splitlines() if line.startswith(b'["')]
    said_no = any(line.split()[1][:1] in (b"4", b"5") for line in received.splitlines() if line.startswith(b"HTTP/1."))
    return read, said_no


async def compared(corpus: dict[str, bytes]) -> dict[str, list[tuple[list[Any], bool]]]:
    """What each of the two servers made of each of the inputs, all at the same time."""
    async with both() as ports:
        found = await asyncio.gather(*(exchanged(port, raw) for raw in corpus.values() for port in ports))
    return {name: found[2 * at : 2 * at + 2] for at, name in enumerate(corpus)}


async def test_what_is_read_here_is_what_another_server_reads() -> None:
    for name, (mine, theirs) in (await compared({name: raw for name, (raw, _) in GOOD.items()})).items():
        wanted = [[method, target, body.decode()] for method, target, body in GOOD[name][1]]
        assert mine == theirs == (wanted, False), name


async def test_what_another_server_refuses_is_refused_here() -> None:
    for name, (mine, theirs) in (await compared(BAD)).items():
        assert mine == ([], True), name
        assert theirs[1] or name in STRICTER, (name, theirs)
