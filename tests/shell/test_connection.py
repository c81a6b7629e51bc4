"""One connection to the host, without a socket: an answer cut anywhere, what is told to whom, what is never told."""

import asyncio
import socket
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcproxy.core.status import ApiError
from vcproxy.drive import Drive
from vcproxy.host import connection, silence
from vcproxy.host.connection import HostAnswer, HostConnection, Lost

BODY = b"0123456789" * 3
PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 30\r\nX: y\r\n\r\n" + BODY
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nX: y\r\nTransfer-Encoding: chunked\r\n\r\nA\r\n0123456789\r\n14\r\n"
    + BODY[:20]
    + b"\r\n0\r\n\r\n"
)
ENDLESS = b"HTTP/1.1 200 OK\r\nX: y\r\n\r\n" + BODY
HINTED = b"HTTP/1.1 103 Early Hints\r\nX: no\r\n\r\n"
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nX: y\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"


class Transport:
    """What was written, and whether it still reads."""

    def __init__(self) -> None:
        self.written = bytearray()
        self.reading = True
        self.closed = self.aborted = False
        self.unsent = 0
        self.options: dict[tuple[int, int], int] = {}

    def get_extra_info(self, name: str) -> "Transport":
        """Itself, as its own socket."""
        return self

    def setsockopt(self, level: int, option: int, value: int) -> None:
        self.options[level, option] = value

    def write(self, data: bytes) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return self.closed or self.aborted

    def pause_reading(self) -> None:
        assert self.reading
        self.reading = False

    def resume_reading(self) -> None:
        assert not self.reading
        self.reading = True

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.aborted = True


class At:
    """A connection, and one request on it that is driven by hand."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.released: list[HostConnection] = []
        self.gone: list[HostConnection] = []
        self.transport = Transport()
        self.connection = HostConnection(loop, self.released.append, self.gone.append)
        self.connection.connection_made(self.transport)  # type: ignore[arg-type]
        self.ends: list[Any] = []

    def ask(self, within: float = 5.0) -> Drive[HostAnswer]:
        self.connection.free = False
        drive = Drive(self.connection.ask(b"GET", within), lambda answer, error: self.ends.append(answer or error))
        drive.start()
        return drive

    def read(self, answer: HostAnswer) -> list[Any]:
        ends: list[Any] = []
        Drive(answer.read(1000), lambda body, error: ends.append(error or body)).start()
        return ends


def cut(raw: bytes, at: list[int]) -> list[bytes]:
    ends = sorted({one % len(raw) for one in at} | {0})
    return [raw[begin:end] for begin, end in zip(ends, [*ends[1:], len(raw)], strict=True)]


async def fed(pieces: list[bytes]) -> tuple[At, Any]:
    at = At(asyncio.get_running_loop())
    at.ask()
    for piece in pieces:
        at.connection.data_received(piece)
    return at, at.ends[0] if at.ends else None


@given(
    st.sampled_from([PLAIN, CHUNKED, HINTED + PLAIN, HINTED * 3 + CHUNKED]), st.lists(st.integers(0, 500), max_size=8)
)
def test_an_answer_is_the_same_wherever_it_is_cut(raw: bytes, at: list[int]) -> None:
    async def run() -> None:
        for pieces in (cut(raw, at), [raw[i : i + 1] for i in range(len(raw))]):
            found, answer = await fed(pieces)
            assert (answer.status, answer.headers["X"], answer.complete) == (200, "y", True)
            assert await answer.read(1000) == BODY
            assert found.released == [found.connection]
            assert not found.connection.closing

    asyncio.run(run())


@given(st.lists(st.integers(0, 500), max_size=8))
def test_an_answer_without_a_length_ends_with_the_connection_wherever_it_is_cut(at: list[int]) -> None:
    async def run() -> None:
        found, answer = await fed(cut(ENDLESS, at))
        assert not answer.complete
        found.connection.connection_lost(None)
        assert await answer.read(1000) == BODY
        assert (found.released, found.gone) == ([], [found.connection])

    asyncio.run(run())


@given(st.lists(st.integers(0, 500), max_size=8), st.binary(max_size=50))
def test_what_follows_a_101_is_the_tunnels_wherever_it_is_cut(at: list[int], early: bytes) -> None:
    class Peer:
        received = b""

        def write(self, data: bytes) -> None:
            self.received += data

    async def run() -> None:
        found, answer = await fed(cut(SWITCHED + early, at))
        assert answer.status == 101
        peer = Peer()
        found.connection.pipe().connect(peer)  # type: ignore[arg-type]
        found.connection.data_received(b"late")
        assert peer.received == early + b"late"
        assert found.released == []

    asyncio.run(run())


@given(st.binary(max_size=200), st.lists(st.integers(0, 500), max_size=4))
def test_no_bytes_make_it_fail_in_another_way(raw: bytes, at: list[int]) -> None:
    async def run() -> None:
        found, answer = await fed(cut(raw, at) if raw else [])
        found.connection.connection_lost(None)
        assert len(found.ends) == 1
        assert isinstance(found.ends[0], HostAnswer | ApiError | Lost), answer

    asyncio.run(run())


@given(st.binary(min_size=1, max_size=60), st.lists(st.integers(0, 500), max_size=4))
def test_what_follows_an_answer_never_reaches_the_next_request(more: bytes, at: list[int]) -> None:
    async def run() -> None:
        found, answer = await fed([PLAIN + more])
        assert await answer.read(1000) == BODY
        if found.connection.closing:
            return
        assert not more.strip(b"\r\n")  # empty lines alone are nothing
        found.ask()
        for piece in cut(PLAIN, at):
            found.connection.data_received(piece)
        assert await found.ends[1].read(1000) == BODY

    asyncio.run(run())


async def test_a_broken_answer_breaks_its_reader_and_no_other() -> None:
    at, answer = await fed([PLAIN[:-5]])
    ends = at.read(answer)
    assert ends == []
    at.connection.connection_lost(None)
    assert isinstance(ends[0], ApiError)
    assert ends[0].status.code == 502
    assert at.gone == [at.connection]


@pytest.mark.parametrize("when", [0, 20, len(PLAIN) - 1])
async def test_a_cancelled_request_ends_the_connection_that_owes_it_an_answer(when: int) -> None:
    at = At(asyncio.get_running_loop())
    drive = at.ask()
    if when:
        at.connection.data_received(PLAIN[:when])
    drive.cancel()
    if at.ends and isinstance(at.ends[0], HostAnswer):
        await at.ends[0].close()
    assert at.transport.aborted
    assert at.connection.closing
    assert at.released == []


async def test_nothing_is_written_to_a_connection_that_ends_and_its_request_is_told_so() -> None:
    at = At(asyncio.get_running_loop())
    at.transport.closed = True
    at.ask()
    assert isinstance(at.ends[0], Lost)
    assert at.ends[0].unwritten
    assert (bytes(at.transport.written), at.gone) == (b"", [at.connection])


async def test_an_answer_that_is_whole_frees_its_connection_though_nobody_has_read_it() -> None:
    at, answer = await fed([PLAIN])
    assert at.released == [at.connection]
    await answer.close()
    assert not at.transport.aborted
    assert await answer.read(1000) == BODY


async def test_a_host_that_is_ahead_of_its_reader_is_held_back_and_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HIGH", 10)
    at, answer = await fed([PLAIN[:-5]])
    reading = [at.transport.reading]
    chunks = answer.chunks()
    assert await anext(chunks) == BODY[:-5]
    reading.append(at.transport.reading)
    assert reading == [False, True]
    at.connection.data_received(PLAIN[-5:])
    assert await anext(chunks) == BODY[-5:]
    with pytest.raises(StopAsyncIteration):
        await anext(chunks)


async def test_a_connection_that_is_given_back_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HIGH", 10)
    at, _ = await fed([PLAIN])
    assert at.released == [at.connection]
    assert at.transport.reading


async def test_a_dropped_connection_makes_no_part_of_an_answer_a_whole_one() -> None:
    at, answer = await fed([ENDLESS])
    at.connection.drop()
    at.connection.connection_lost(None)
    with pytest.raises(ApiError):
        await answer.read(1000)
    with pytest.raises(ApiError):
        assert [chunk async for chunk in answer.chunks()] == [BODY]


async def test_what_a_host_does_not_take_of_a_tunnel_that_ended_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "FLUSH", 0.02)
    at, _ = await fed([SWITCHED])
    at.transport.unsent = 10
    at.connection.pipe().close()
    assert (at.transport.closed, at.transport.aborted) == (True, False)
    await asyncio.sleep(0.05)
    assert at.transport.aborted


KEPT_ALIVE = socket.SOL_SOCKET, socket.SO_KEEPALIVE
QUIET, EVERY, PROBES, UNANSWERED = (
    (socket.IPPROTO_TCP, option)
    for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT)
)


async def test_a_host_that_vanishes_without_a_word_is_noticed_within_a_minute() -> None:
    found = At(asyncio.get_running_loop()).transport.options
    assert found[KEPT_ALIVE] == 1
    assert found[QUIET] + found[EVERY] * found[PROBES] == silence.GONE == 60
    assert found[UNANSWERED] == 60_000


async def test_the_far_end_of_a_tunnel_may_read_nothing_for_longer_and_is_still_probed() -> None:
    at, _ = await fed([SWITCHED])
    at.connection.pipe()
    assert at.transport.options[UNANSWERED] == 0
    assert at.transport.options[KEPT_ALIVE] == 1


class Slow:
    """The client's end of a tunnel: behind as soon as it has been written to."""

    def __init__(self, pipe: Any) -> None:
        self.pipe = pipe
        self.received = b""
        self.paused = False

    def write(self, data: bytes) -> None:
        self.received += data
        self.pipe.pause()

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False

    def close(self) -> None: ...


async def test_a_client_that_the_early_bytes_fill_holds_the_host_back() -> None:
    at, _ = await fed([SWITCHED + b"early"])
    slow = Slow(at.connection.pipe())
    slow.pipe.connect(slow)
    assert (slow.received, at.transport.reading) == (b"early", False)
    slow.pipe.resume()
    assert at.transport.reading


async def test_a_host_that_is_held_back_before_its_tunnel_is_connected_stays_so() -> None:
    at, _ = await fed([SWITCHED])
    slow = Slow(at.connection.pipe())
    slow.pipe.pause()
    slow.pipe.connect(slow)
    assert not at.transport.reading
    slow.pipe.resume()
    assert at.transport.reading


async def test_a_host_that_is_behind_before_its_tunnel_is_connected_holds_the_client_back() -> None:
    at, _ = await fed([SWITCHED])
    slow = Slow(at.connection.pipe())
    at.connection.pause_writing()
    slow.pipe.connect(slow)
    assert slow.paused
    at.connection.resume_writing()
    assert not slow.paused


async def test_it_says_what_it_does_and_no_secret() -> None:
    at = At(asyncio.get_running_loop())
    assert repr(at.connection) == "<host free uses=0>"
    at.ask()
    at.connection.owner = "acme"
    assert repr(at.connection) == "<host busy uses=1 of acme>"
    at.connection.drop()
    assert repr(at.connection) == "<host closing uses=1 of acme>"
