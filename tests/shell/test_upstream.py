"""The pool against a host of raw bytes: what is kept, what is asked again, what never mixes."""

import asyncio
import contextlib
import logging
import random
import socket
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest

from tests.shell.rawhost import Authority, Line, RawHost, Script, answer, raw_host
from vcproxy.core.hosting import HostRequest
from vcproxy.core.http import Pipe
from vcproxy.core.status import ApiError
from vcproxy.drive import Drive
from vcproxy.host import silence, upstream
from vcproxy.host.connection import HostConnection
from vcproxy.host.kubeconfig import HostCredentials
from vcproxy.host.upstream import Pool

TOKEN = "t0ken-of-the-proxy"
LIMIT = 1 << 26


@asynccontextmanager
async def pooled(script: Script, **settings: Any) -> AsyncIterator[tuple[Pool, RawHost]]:
    async with raw_host(script) as host:
        pool = Pool(HostCredentials(f"http://127.0.0.1:{host.port}", token=TOKEN), **settings)
        try:
            yield pool, host
        finally:
            await pool.close()


def get(target: str = "/a", *, timeout: float = 5.0, owner: str = "") -> HostRequest:
    return HostRequest("GET", target, timeout=timeout, owner=owner)


def post(body: bytes = b"body", *, timeout: float = 5.0) -> HostRequest:
    return HostRequest("POST", "/p", body=body, timeout=timeout)


async def asked(pool: Pool, request: HostRequest) -> bytes:
    """The body of the answer."""
    response = await pool.send(request)
    try:
        return await response.read(LIMIT)
    finally:
        await response.close()


async def refusal(awaited: Awaitable[Any]) -> int:
    with pytest.raises(ApiError) as caught:
        await awaited
    return caught.value.status.code


async def until(holds: Callable[[], bool], seconds: float = 3.0) -> None:
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.005)


async def still(line: Line) -> int:
    """Wait until the host can send no more; how much it has sent."""
    sent = -1
    while sent != line.sent:
        sent = line.sent
        await asyncio.sleep(0.1)
    return sent


async def echo(line: Line) -> None:
    while True:
        await line.send(answer(await line.target()))


# What is kept --------------------------------------------------------------------------------------------------------


async def test_one_after_the_other_takes_one_connection() -> None:
    async with pooled(echo) as (pool, host):
        for number in range(5):
            assert await asked(pool, get(f"/{number}")) == f"/{number}".encode()
    assert len(host.lines) == 1


async def test_the_connection_that_was_used_last_is_used_first() -> None:
    async def script(line: Line) -> None:
        while True:
            if await line.target() == b"/who":
                await line.send(answer(b"%d" % line.number))
            else:
                await asyncio.sleep(0.02 * (line.number + 1))
                await line.send(answer())

    async with pooled(script) as (pool, host):
        await asyncio.gather(*(asked(pool, get()) for _ in range(4)))
        assert len(host.lines) == 4
        assert [await asked(pool, get("/who")) for _ in range(3)] == [b"3"] * 3


async def test_a_request_is_what_was_rendered_and_holds_no_second_line() -> None:
    async with pooled(echo) as (pool, host):
        request = HostRequest("POST", "/x?y=1", (("Accept", "a\r\nImpersonate-User: root"), ("B", "c")), b"{}")
        await asked(pool, request)
        port = host.port
    lines = host.requests[0].split(b"\r\n")
    assert lines == [
        b"POST /x?y=1 HTTP/1.1",
        b"Host: 127.0.0.1:%d" % port,
        b"Authorization: Bearer " + TOKEN.encode(),
        b"Accept: a  Impersonate-User: root",
        b"B: c",
        b"Content-Length: 2",
        b"",
        b"{}",
    ]


async def test_blocks_of_headers_are_kept_while_they_are_small() -> None:
    async with pooled(echo) as (pool, host):
        for size in (10, 10, 3000):
            await asked(pool, HostRequest("GET", "/a", (("X-App", "x" * size),)))
        assert [len(raw) > 3000 for raw in host.requests] == [False, False, True]
        assert [len(block) < upstream.SMALL for block in pool._blocks.values()] == [True]


async def test_an_idle_connection_is_dropped_before_the_host_drops_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstream, "SWEEP", 0.02)

    async def script(line: Line) -> None:
        await line.send(answer(await line.target()))
        await line.gone()

    async with pooled(script, idle=0.05) as (pool, host):
        await asked(pool, get())
        assert repr(pool) == "<pool open=1 idle=1>"
        await until(lambda: host.lines[0].ended)
        await until(lambda: repr(pool) == "<pool open=0 idle=0>")


async def test_a_connection_that_the_host_ended_while_idle_is_not_used_again() -> None:
    async def script(line: Line) -> None:
        await line.request()
        await line.send(answer(b"%d" % line.number))

    async with pooled(script) as (pool, _):
        for number in range(3):
            assert await asked(pool, post()) == b"%d" % number
            await until(lambda: repr(pool).startswith("<pool open=0"))


async def test_a_host_that_speaks_without_being_asked_loses_the_connection() -> None:
    async def script(line: Line) -> None:
        await line.send(answer(await line.target()))
        await asyncio.sleep(0.02)
        await line.send(answer(b"forged"))
        await line.gone()

    async with pooled(script) as (pool, host):
        await asked(pool, get("/one"))
        await until(lambda: host.lines[0].ended)
        assert await asked(pool, get("/two")) == b"/two"


@pytest.mark.parametrize("cut", [1, 10, 30])
async def test_what_follows_an_answer_in_the_same_breath_never_becomes_the_next_answer(cut: int) -> None:
    forged = answer(b"forged!")

    async def script(line: Line) -> None:
        if line.number:
            await echo(line)
        await line.request()
        await line.send(answer(b"/one") + forged[:cut])
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await line.request()
            await line.send(forged[cut:])
        await line.gone()

    async with pooled(script) as (pool, _):
        with contextlib.suppress(ApiError):
            assert await asked(pool, get("/one")) == b"/one"
        assert await asked(pool, get("/two")) == b"/two"


# What an answer may look like ----------------------------------------------------------------------------------------

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n5;x=y\r\nthere\r\n0\r\nTrailer: x\r\n\r\n"
ANSWERS = {
    "length": (answer(b"hithere"), 200, b"hithere"),
    "chunked": (CHUNKED, 200, b"hithere"),
    "continue": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + CHUNKED,
        200,
        b"hithere",
    ),
    "empty": (answer(), 200, b""),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
    "304": (b"HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n", 304, b""),
    "304 with a length": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", 304, b""),
    "404": (answer(b"{}", "404 Not Found"), 404, b"{}"),
    "no reason": (b"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok", 200, b"ok"),
}


@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.parametrize("step", [1, 7, 10_000])
async def test_an_answer_is_the_same_however_it_is_cut_and_the_connection_is_kept(name: str, step: int) -> None:
    raw, code, body = ANSWERS[name]

    async def script(line: Line) -> None:
        while True:
            await line.request()
            await line.send(*(raw[at : at + step] for at in range(0, len(raw), step)))

    async with pooled(script) as (pool, host):
        for _ in range(2):
            response = await pool.send(get())
            assert (response.status, await response.read(LIMIT)) == (code, body)
            await response.close()
        assert len(host.lines) == 1


async def test_an_answer_cut_anywhere_is_the_same() -> None:
    seed = random.randrange(1 << 30)
    dice = random.Random(seed)

    async def script(line: Line) -> None:
        while True:
            raw = ANSWERS[(await line.target())[1:].decode().replace("_", " ")][0]
            cuts = sorted({0, len(raw), *(dice.randrange(len(raw)) for _ in range(dice.randrange(5)))})
            await line.send(*(raw[begin:end] for begin, end in pairwise(cuts)))

    async with pooled(script) as (pool, host):
        for _ in range(150):
            name = dice.choice(list(ANSWERS))
            response = await pool.send(get("/" + name.replace(" ", "_")))
            assert (response.status, await response.read(LIMIT)) == ANSWERS[name][1:], seed
            await response.close()
        assert len(host.lines) == 1


@pytest.mark.parametrize("pause", [0.0, 0.02])
async def test_an_answer_without_a_length_ends_with_its_connection(pause: float) -> None:
    async def script(line: Line) -> None:
        await line.request()
        await line.send(b"HTTP/1.1 200 OK\r\n\r\nhi", b"there", pause=pause)

    async with pooled(script) as (pool, host):
        for _ in range(2):
            assert await asked(pool, get()) == b"hithere"
        assert len(host.lines) == 2


async def test_an_answer_that_says_close_ends_its_connection() -> None:
    async def script(line: Line) -> None:
        await line.request()
        await line.send(answer(b"x", "200 OK", "Connection: close"))
        await line.gone()

    async with pooled(script) as (pool, host):
        for _ in range(2):
            assert await asked(pool, post()) == b"x"
        await until(lambda: all(line.ended for line in host.lines))
        assert len(host.lines) == 2


async def test_headers_keep_their_order_and_their_repetitions() -> None:
    async def script(line: Line) -> None:
        await line.request()
        await line.send(answer(b"", "200 OK", "Warning: 299 - a", "X: y", "warning: 299 - b"))

    async with pooled(script) as (pool, _):
        response = await pool.send(get())
        assert response.getall("Warning") == ["299 - a", "299 - b"]
        assert response.headers["x"] == "y"
        await response.close()


@pytest.mark.parametrize(
    "raw",
    [
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"SSH-2.0-x\r\n",
        b"HTTP/1.1 banana\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * (1 << 19) + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200_000 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"",
    ],
)
async def test_garbage_and_what_breaks_off_is_a_bad_gateway_and_is_asked_once(raw: bytes) -> None:
    async def script(line: Line) -> None:
        await line.request()
        await line.send(raw)

    async with pooled(script) as (pool, host):
        assert await refusal(asked(pool, get())) == 502
        assert len(host.requests) == 1
        await until(lambda: repr(pool) == "<pool open=0 idle=0>")


async def test_a_chunked_stream_that_breaks_off_raises_after_what_came() -> None:
    async def script(line: Line) -> None:
        await line.request()
        await line.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n", pause=0.02)

    async with pooled(script) as (pool, _):
        response = await pool.send(get())
        came: list[bytes] = []

        async def copy() -> None:
            async for chunk in response.chunks():
                came.append(chunk)

        assert await refusal(copy()) == 502
        assert came == [b"hi"]
        await response.close()


# What is asked again -------------------------------------------------------------------------------------------------


async def dying(line: Line) -> None:
    """Answers one request, takes a second and ends without a word; lines after the first live."""
    await line.send(answer(await line.target()))
    if line.number:
        await echo(line)
    await line.request()


@pytest.mark.parametrize("reset", [False, True])
async def test_a_get_that_finds_its_connection_dying_is_sent_again(reset: bool) -> None:
    async def script(line: Line) -> None:
        await dying(line)
        if reset:
            line.reset()

    async with pooled(script) as (pool, host):
        await asked(pool, get("/one"))
        assert await asked(pool, get("/two")) == b"/two"
    assert [raw.split()[1] for raw in host.requests] == [b"/one", b"/two", b"/two"]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_a_write_that_finds_its_connection_dying_arrives_once(method: str) -> None:
    async with pooled(dying) as (pool, host):
        await asked(pool, get())
        assert await refusal(pool.send(HostRequest(method, "/w", body=b"{}"))) == 502
        await asyncio.sleep(0.02)
    assert len(host.requests) == 2


async def test_nothing_is_asked_again_once_a_byte_came() -> None:
    async def script(line: Line) -> None:
        await line.send(answer(await line.target()))
        await line.request()
        await line.send(b"H")

    async with pooled(script) as (pool, host):
        await asked(pool, get())
        assert await refusal(pool.send(get("/two"))) == 502
    assert len(host.requests) == 2


async def test_a_get_on_a_new_connection_is_not_asked_again() -> None:
    async def script(line: Line) -> None:
        await line.request()

    async with pooled(script) as (pool, host):
        assert await refusal(pool.send(get())) == 502
    assert len(host.requests) == 1


async def test_a_get_is_asked_three_times_at_most() -> None:
    async def script(line: Line) -> None:
        await line.request()
        await asyncio.sleep(0.02)
        await line.send(answer(b"x"))
        await line.request()

    async with pooled(script) as (pool, host):
        await asyncio.gather(*(asked(pool, get()) for _ in range(5)))
        first = len(host.requests)
        assert await asked(pool, get("/again")) == b"x"
    assert len(host.requests) - first == 3


@pytest.mark.parametrize("request_", [get("/w"), post()], ids=["GET", "POST"])
async def test_any_verb_is_sent_again_that_was_never_written(request_: HostRequest) -> None:
    async with pooled(echo) as (pool, host):
        await asked(pool, get("/one"))
        pool._idle[-1]._transport.abort()  # and the connection has not been told yet
        assert await asked(pool, request_) == request_.target.encode()
        assert [raw.split()[1] for raw in host.requests] == [b"/one", request_.target.encode()]
        assert len(host.lines) == 2


class Stillborn(HostConnection):
    """A connection that ends as soon as it is there, the first `count` of them."""

    count = 0
    at_once = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if Stillborn.count:
            Stillborn.count -= 1
            self._transport.abort()
            self.closing = Stillborn.at_once


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize(("count", "code"), [(1, 200), (2, 200), (3, 502)])
async def test_a_new_connection_that_is_lost_unused_is_opened_again_for_any_verb(
    count: int, code: int, at_once: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upstream, "HostConnection", Stillborn)
    monkeypatch.setattr(Stillborn, "count", count)
    monkeypatch.setattr(Stillborn, "at_once", at_once)
    async with pooled(echo) as (pool, host):
        assert await codes(asked(pool, HostRequest("POST", "/p", body=b"body", owner="acme"))) == [code]
        assert len(host.requests) == (1 if code == 200 else 0)
        await until(lambda: "acme" not in repr(pool))


# Deadlines -----------------------------------------------------------------------------------------------------------


async def silent(line: Line) -> None:
    await line.request()
    await line.gone()


async def test_no_head_in_time_is_a_504_and_ends_the_connection() -> None:
    async with pooled(silent) as (pool, host):
        assert await refusal(pool.send(get(timeout=0.05))) == 504
        await until(lambda: host.lines[0].ended)
        assert repr(pool) == "<pool open=0 idle=0>"


async def test_a_head_that_trickles_wins_no_time() -> None:
    async def script(line: Line) -> None:
        await line.request()
        await line.send(*([b"HTTP/1.1 100 Continue\r\n\r\n"] * 100), pause=0.01)

    async with pooled(script) as (pool, _):
        async with asyncio.timeout(0.5):
            assert await refusal(pool.send(get(timeout=0.1))) == 504


async def test_a_body_that_trickles_is_a_504_and_ends_the_connection() -> None:
    async def script(line: Line) -> None:
        await line.request()
        await line.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", *([b"x"] * 100), pause=0.01)
        await line.gone()

    async with pooled(script) as (pool, host):
        async with asyncio.timeout(0.5):
            assert await refusal(asked(pool, get(timeout=0.1))) == 504
        await until(lambda: repr(pool) == "<pool open=0 idle=0>")
        assert len(host.requests) == 1


async def test_a_body_over_the_limit_is_a_502_and_is_not_taken_in() -> None:
    async def script(line: Line) -> None:
        await line.request()
        await line.send(b"HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n", *([b"x" * 100_000] * 500))

    async with pooled(script) as (pool, host):
        response = await pool.send(get())
        assert await refusal(response.read(1000)) == 502
        await response.close()
        await until(lambda: repr(pool) == "<pool open=0 idle=0>")
        assert host.lines[0].sent < 30_000_000


async def test_a_host_that_is_not_there_is_told_in_time() -> None:
    async with raw_host(silent) as host:
        port = host.port
    pool = Pool(HostCredentials(f"http://127.0.0.1:{port}", token=TOKEN))
    assert await refusal(pool.send(get())) == 502
    assert repr(pool) == "<pool open=0 idle=0>"
    await pool.close()


async def test_a_host_that_takes_no_connection_is_given_up() -> None:
    async with raw_host(silent) as host:  # speaks no TLS, so the handshake never ends
        pool = Pool(HostCredentials(f"https://127.0.0.1:{host.port}", token=TOKEN), connect_timeout=0.1)
        async with asyncio.timeout(1):
            assert await refusal(pool.send(get())) in (502, 503)
        await pool.close()


# Cancellation --------------------------------------------------------------------------------------------------------


async def test_a_cancelled_request_drops_its_connection() -> None:
    async with pooled(silent) as (pool, host):
        task = asyncio.create_task(pool.send(get()))
        await until(lambda: bool(host.requests))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()
        await until(lambda: host.lines[0].ended and repr(pool) == "<pool open=0 idle=0>")


async def test_an_answer_that_is_closed_unread_drops_its_connection() -> None:
    async def script(line: Line) -> None:
        await line.request()
        await line.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nab")
        await line.gone()

    async with pooled(script) as (pool, host):
        response = await pool.send(get())
        await response.close()
        await response.close()
        await until(lambda: host.lines[0].ended and repr(pool) == "<pool open=0 idle=0>")


async def test_cancelled_while_it_connects_it_leaves_no_connection_behind() -> None:
    async with pooled(echo) as (pool, _):
        for turns in range(12):
            task = asyncio.create_task(pool.send(get()))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await asyncio.sleep(0.05)
        open_ones, idle = (int(part.split("=")[1]) for part in repr(pool).strip("<>").split()[1:])
        assert open_ones == idle


def tell(ended: "asyncio.Future[BaseException | None]", task: "asyncio.Task[None]") -> None:
    ended.set_result(None if task.cancelled() else task.exception())


async def shuffled(line: Line, dice: random.Random) -> None:
    """Echoes, but late, in pieces, and sometimes not to the end."""
    while True:
        target = await line.target()
        await asyncio.sleep(dice.random() * 0.006)
        body = target * dice.randrange(1, 400)
        raw = (
            answer(body)
            if dice.random() < 0.5
            else b"".join(
                (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n" % len(body), body, b"\r\n0\r\n\r\n")
            )
        )
        cut = dice.randrange(len(raw))
        if dice.random() < 0.05:
            line.reset()
            return
        await line.send(raw[:cut], pause=dice.random() * 0.002)
        await line.send(raw[cut:])


@pytest.mark.parametrize("driven", [True, False], ids=["driven by hand", "in tasks"])
async def test_nobody_ever_gets_the_answer_of_another_however_requests_end(driven: bool) -> None:
    seed = random.randrange(1 << 30)
    dice = random.Random(seed)
    done: Counter[str] = Counter()

    async def one(pool: Pool, target: str) -> None:
        request = get(target, timeout=dice.choice((0.002, 0.004, 5.0)), owner=dice.choice(("", "acme")))
        response = await pool.send(request)
        try:
            if dice.random() < 0.8:
                body = await response.read(LIMIT)
                assert set(body.split(b"/")[1:]) == {target[1:].encode()}, (seed, target, body[:100])
        finally:
            await response.close()

    def begun(way: Coroutine[Any, Any, None], ended: asyncio.Future[BaseException | None]) -> Callable[[], Any]:
        """Begin it; what is returned cancels it."""
        if not driven:
            task = asyncio.create_task(way)
            task.add_done_callback(lambda task: ended.set_result(None if task.cancelled() else task.exception()))
            return task.cancel
        drive = Drive(way, lambda _, error: ended.set_result(error))
        drive.start()
        return drive.cancel

    async def client(pool: Pool, name: str) -> None:
        for number in range(40):
            ended: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()
            cancel = begun(one(pool, f"/{name}-{number}"), ended)
            if dice.random() < 0.4:
                await asyncio.sleep(dice.random() * 0.01)
                cancel()
            error = await ended
            if error is not None and not isinstance(error, ApiError | asyncio.CancelledError):
                raise error
            done["failed" if error else "ended"] += 1

    async with pooled(lambda line: shuffled(line, dice)) as (pool, _):
        async with asyncio.timeout(20):
            await asyncio.gather(*(client(pool, f"c{number}") for number in range(12)))
        await asyncio.sleep(0.05)
        open_ones, idle = (int(part.split("=")[1]) for part in repr(pool).strip("<>").split()[1:3])
        assert "acme" not in repr(pool), (seed, repr(pool))
        assert open_ones <= idle, (seed, repr(pool))
    assert done["ended"] > 50, done


# Backpressure --------------------------------------------------------------------------------------------------------


async def test_a_slow_reader_holds_the_host_back() -> None:
    piece = b"x" * 100_000
    framed = b"%x\r\n%b\r\n" % (len(piece), piece)

    async def script(line: Line) -> None:
        await line.request()
        await line.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", *([framed] * 500), b"0\r\n\r\n")

    async with pooled(script) as (pool, host):
        response = await pool.send(get())
        held = await still(host.lines[0])
        assert held < 25_000_000  # what the sockets take, and one MiB
        size = 0
        async for chunk in response.chunks():
            size += len(chunk)
            assert len(chunk) < 2_000_000
        assert size == 500 * len(piece)


@pytest.mark.parametrize("size", [1_000_000, 1_100_000, 1_200_000, 1_500_000, 3_000_000])
async def test_a_connection_that_was_held_back_reads_again_for_the_next_request(size: int) -> None:
    async def script(line: Line) -> None:
        while True:
            await line.request()
            await line.send(answer(b"x" * size))

    async with pooled(script) as (pool, _):
        for _ in range(3):
            response = await pool.send(get(timeout=1.0))
            await asyncio.sleep(0.05)  # nobody reads, so the answer waits in the connection
            assert sum([len(chunk) async for chunk in response.chunks()]) == size
            await response.close()


async def test_a_long_body_is_sent_whole_to_a_slow_host() -> None:
    body = bytes(range(256)) * 12_000

    async def script(line: Line) -> None:
        await asyncio.sleep(0.1)
        raw = await line.request()
        await line.send(answer(b"same" if raw.endswith(b"\r\n\r\n" + body) else b"other"))

    async with pooled(script) as (pool, _):
        assert await asked(pool, post(body)) == b"same"


# Caps ----------------------------------------------------------------------------------------------------------------


async def slow(line: Line) -> None:
    while True:
        target = await line.target()
        await asyncio.sleep(0.05)
        await line.send(answer(target))


async def codes(*awaited: Awaitable[Any]) -> list[int]:
    """200 for what came, else the code of the refusal."""
    results = await asyncio.gather(*awaited, return_exceptions=True)
    return sorted(one.status.code if isinstance(one, ApiError) else 200 for one in results)


async def test_an_owner_has_its_share_of_connections_and_no_more() -> None:
    async with pooled(slow, owner_connections=3) as (pool, host):
        assert await codes(*(asked(pool, get(owner="acme")) for _ in range(5))) == [200, 200, 200, 429, 429]
        assert len(host.lines) == 3
        mixed = [asked(pool, get(owner=owner)) for owner in ("acme", "globex", "") for _ in range(3)]
        assert await codes(*mixed) == [200] * 9
        assert "=" not in repr(pool).partition("idle=")[2]


async def test_all_together_have_their_bound_but_the_proxys_own_requests_pass() -> None:
    async with pooled(slow, connections=4) as (pool, host):
        owned = [asked(pool, get(owner=f"t{number}")) for number in range(6)]
        assert await codes(*owned) == [200, 200, 200, 200, 429, 429]
        assert len(host.lines) == 4
        assert await codes(*(asked(pool, get()) for _ in range(6))) == [200] * 6


async def test_idle_connections_make_room_for_one_that_must_be_new() -> None:
    async def script(line: Line) -> None:
        while await line.target() != b"/x":
            await line.send(answer(b"x"), pause=0.02)
        await line.send(SWITCH)
        await line.gone()

    async with pooled(script, connections=2) as (pool, _):
        await asyncio.gather(asked(pool, get()), asked(pool, get()))
        oldest = pool._idle[0]
        response, pipe = await pool.upgrade(switching("acme"))
        assert response.status == 101
        assert pipe is not None
        assert oldest.closing
        assert repr(pool) == "<pool open=2 idle=1 acme=1>"
        pipe.close()


async def test_a_share_is_given_back_whatever_the_end() -> None:
    async def script(line: Line) -> None:
        target = await line.target()
        if target == b"/reset":
            line.reset()
        elif target == b"/silent":
            await line.gone()
        else:
            await line.send(answer(b"x"))

    async with pooled(script, owner_connections=1) as (pool, _):
        for _ in range(3):
            assert await refusal(pool.send(get("/reset", owner="acme"))) == 502
            await until(lambda: "acme" not in repr(pool))
            assert await refusal(pool.send(get("/silent", owner="acme", timeout=0.02))) == 504
            await until(lambda: "acme" not in repr(pool))
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.02):
                    await pool.send(get("/silent", owner="acme"))
            await until(lambda: "acme" not in repr(pool))
            assert await asked(pool, get("/good", owner="acme")) == b"x"
            assert "acme" not in repr(pool)


async def test_a_host_that_ends_connections_as_they_open_leaves_nothing_behind() -> None:
    async def script(line: Line) -> None:
        line.reset()

    async with pooled(script) as (pool, _):
        for _ in range(20):
            async with asyncio.timeout(2):
                assert await refusal(pool.send(get(owner="acme"))) == 502
        await until(lambda: repr(pool) == "<pool open=0 idle=0>")


# TLS -----------------------------------------------------------------------------------------------------------------

AUTHORITY, STRANGER = Authority(), Authority()


@pytest.mark.parametrize(
    ("context", "name"),
    [
        (lambda: STRANGER.server(), None),
        (lambda: AUTHORITY.server(address="127.0.0.2"), None),
        (lambda: AUTHORITY.server(days=-1), None),
        (lambda: AUTHORITY.server(), "kubernetes.default.svc"),
    ],
    ids=["wrong authority", "wrong address", "expired", "wrong name"],
)
async def test_a_host_that_proves_nothing_gets_not_one_byte_of_the_request(
    context: Callable[[], Any], name: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    received: list[bytes] = []

    async def script(line: Line) -> None:
        received.append(await line.read())

    async with raw_host(script, context()) as host:
        credentials = HostCredentials(f"https://127.0.0.1:{host.port}", ca=AUTHORITY.pem, token=TOKEN, server_name=name)
        pool = Pool(credentials)
        assert await refusal(pool.send(get())) == 502
        assert await refusal(pool.upgrade(get())) == 502
        assert repr(pool) == "<pool open=0 idle=0>"
        await pool.close()
    assert b"".join(received) == b""
    assert TOKEN not in caplog.text
    assert TOKEN not in repr(pool)


async def test_over_tls_answers_come_and_connections_are_kept() -> None:
    async with raw_host(echo, AUTHORITY.server()) as host:
        pool = Pool(HostCredentials(f"https://127.0.0.1:{host.port}", ca=AUTHORITY.pem, token=TOKEN))
        for number in range(3):
            assert await asked(pool, get(f"/{number}")) == f"/{number}".encode()
        assert len(host.lines) == 1
        await pool.close()


# Tunnels -------------------------------------------------------------------------------------------------------------

SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"


class End:
    """The other end of a tunnel."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.closed = 0
        self.paused = False
        self.largest = 0

    def connect(self, peer: Pipe) -> None:
        pass

    def write(self, data: bytes) -> None:
        self.received += data
        self.largest = max(self.largest, len(data))

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False

    def close(self) -> None:
        self.closed += 1


def switching(owner: str = "") -> HostRequest:
    return HostRequest("GET", "/x", (("Connection", "Upgrade"), ("Upgrade", "x")), timeout=2.0, owner=owner)


@pytest.mark.parametrize("step", [1, 20, 10_000])
async def test_bytes_right_behind_the_101_are_not_lost(step: int) -> None:
    async def script(line: Line) -> None:
        await line.request()
        raw = SWITCH + b"early"
        await line.send(*(raw[at : at + step] for at in range(0, len(raw), step)))
        await line.send(b" and late", pause=0.02)
        await line.gone()

    async with pooled(script) as (pool, _):
        response, pipe = await pool.upgrade(switching())
        assert response.status == 101
        assert response.getall("upgrade") == ["x"]
        assert pipe is not None
        await asyncio.sleep(0.02)
        end = End()
        pipe.connect(end)
        await until(lambda: end.received == b"early and late")
        pipe.close()
        await until(lambda: repr(pool) == "<pool open=0 idle=0>")
        assert end.closed == 1


async def test_a_tunnel_takes_a_share_until_it_ends_and_is_never_used_again() -> None:
    async def script(line: Line) -> None:
        await line.request()
        await line.send(SWITCH)
        while data := await line.read():
            await line.send(data.upper())

    async with pooled(script, owner_connections=1) as (pool, host):
        _, pipe = await pool.upgrade(switching("acme"))
        assert pipe is not None
        end = End()
        pipe.connect(end)
        pipe.write(b"hello")
        await until(lambda: end.received == b"HELLO")
        assert await refusal(pool.send(get(owner="acme"))) == 429
        assert "acme=1" in repr(pool)
        pipe.close()
        pipe.close()
        await until(lambda: "acme" not in repr(pool))
        assert len(host.requests) == 1


async def test_the_host_ending_a_tunnel_ends_the_other_end() -> None:
    async def script(line: Line) -> None:
        await line.request()
        await line.send(SWITCH, b"last words", pause=0.01)

    async with pooled(script) as (pool, _):
        _, pipe = await pool.upgrade(switching())
        assert pipe is not None
        end = End()
        pipe.connect(end)
        await until(lambda: end.closed == 1)
        assert end.received == b"last words"


async def test_a_host_that_ends_a_tunnel_before_it_is_connected_ends_the_other_end_too() -> None:
    async def script(line: Line) -> None:
        await line.request()
        await line.send(SWITCH + b"bye")

    async with pooled(script) as (pool, _):
        _, pipe = await pool.upgrade(switching())
        assert pipe is not None
        await asyncio.sleep(0.05)
        end = End()
        pipe.connect(end)
        await until(lambda: end.closed == 1)
        assert end.received == b"bye"


async def test_a_tunnel_is_held_back_and_goes_on() -> None:
    async def script(line: Line) -> None:
        await line.request()
        await line.send(SWITCH, *([b"x" * 100_000] * 300))
        await line.gone()

    async with pooled(script) as (pool, host):
        _, pipe = await pool.upgrade(switching())
        assert pipe is not None
        end = End()
        pipe.connect(end)
        pipe.pause()
        assert await still(host.lines[0]) < 25_000_000
        held = len(end.received)
        await asyncio.sleep(0.05)
        assert len(end.received) == held
        pipe.resume()
        await until(lambda: len(end.received) == 30_000_000)
        pipe.close()


class Slow(End):
    """It takes what comes bit by bit, with a pause after each."""

    def __init__(self, pipe: Pipe) -> None:
        super().__init__()
        self._pipe = pipe

    def write(self, data: bytes) -> None:
        super().write(data)
        self._pipe.pause()
        asyncio.get_running_loop().call_later(0.01, self._pipe.resume)


def speak_and_go(listener: socket.socket, tls: ssl.SSLContext, words: bytes) -> None:
    """A host that ends without waiting, as the API server does: asyncio's servers wait for the other side's goodbye."""
    with tls.wrap_socket(listener.accept()[0], server_side=True) as connection:
        connection.recv(65536)
        connection.sendall(words)


@asynccontextmanager
async def hasty(words: bytes) -> AsyncIterator[Pool]:
    """A pool before such a host."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        speaking = asyncio.create_task(asyncio.to_thread(speak_and_go, listener, AUTHORITY.server(), words))
        port = listener.getsockname()[1]
        pool = Pool(HostCredentials(f"https://127.0.0.1:{port}", ca=AUTHORITY.pem, token=TOKEN))
        yield pool
        await speaking
        await pool.close()


@pytest.mark.parametrize("size", [1_000, 150_000, 400_000, 3_000_000])
async def test_the_last_words_of_a_host_reach_the_slow_end_of_a_tunnel_too(size: int) -> None:
    async with hasty(SWITCH + b"x" * size) as pool:
        _, pipe = await pool.upgrade(switching())
        assert pipe is not None
        end = Slow(pipe)
        pipe.pause()
        pipe.connect(end)
        pipe.pause()
        await asyncio.sleep(0.1)
        pipe.resume()
        await until(lambda: end.closed == 1)
        assert len(end.received) == size


async def test_a_host_that_does_not_read_pauses_the_other_end_and_then_lets_it_go_on() -> None:
    go = asyncio.Event()
    sizes: list[int] = []

    async def script(line: Line) -> None:
        await line.request()
        await line.send(SWITCH)
        await go.wait()
        while data := await line.read():
            sizes.append(len(data))

    async with pooled(script) as (pool, _):
        _, pipe = await pool.upgrade(switching())
        assert pipe is not None
        end = End()
        pipe.connect(end)
        written = 0
        while not end.paused:
            pipe.write(b"x" * 100_000)
            written += 100_000
            assert written < 30_000_000
            await asyncio.sleep(0)
        go.set()
        await until(lambda: not end.paused)
        pipe.write(b"the end")
        pipe.close()  # what waits is sent first
        await until(lambda: sum(sizes) == written + 7)


async def test_a_pod_that_does_not_read_for_long_keeps_its_tunnel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Linux ends a connection with a user timeout whose peer keeps its window shut, though it answers every probe."""
    monkeypatch.setattr(silence, "GONE", 0.2)
    go = asyncio.Event()
    sizes: list[int] = []

    async def script(line: Line) -> None:
        await line.request()
        await line.send(SWITCH)
        await go.wait()
        while data := await line.read():
            sizes.append(len(data))

    async with pooled(script) as (pool, _):
        _, pipe = await pool.upgrade(switching())
        assert pipe is not None
        end = End()
        pipe.connect(end)
        written = 0
        while not end.paused:
            pipe.write(b"x" * 100_000)
            written += 100_000
            await asyncio.sleep(0)
        await asyncio.sleep(1.5)
        assert end.closed == 0
        go.set()
        await until(lambda: sum(sizes) == written)
        pipe.close()


@pytest.mark.parametrize(
    "raw", [answer(b"no", "403 Forbidden", "Connection: Upgrade", "Upgrade: x"), answer(b"no", "500 X"), CHUNKED]
)
async def test_a_refused_upgrade_is_an_answer_like_all_others(raw: bytes) -> None:
    async def script(line: Line) -> None:
        await line.request()
        await line.send(raw)
        await line.gone()

    async with pooled(script) as (pool, _):
        response, pipe = await pool.upgrade(switching())
        assert pipe is None
        assert response.status == int(raw.split()[1])
        assert await response.read(100) in (b"no", b"hithere")
        await response.close()


async def test_nothing_of_the_pool_stays_when_it_is_closed() -> None:
    async with pooled(silent) as (pool, host):
        tasks = [asyncio.create_task(pool.send(get(timeout=5))) for _ in range(3)]
        await until(lambda: len(host.requests) == 3)
        await pool.close()
        assert await codes(*tasks) == [502] * 3
        assert repr(pool) == "<pool open=0 idle=0>"
