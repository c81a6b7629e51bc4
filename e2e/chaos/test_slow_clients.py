"""Clients that are slow or gone: each is ended within bounded time, and nobody else notices."""

import contextlib
import socket
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

from e2e.chaos.hurried import PATIENCE
from e2e.client import Client
from e2e.clients.followers import Access
from e2e.cluster.host import Host
from e2e.cluster.proxy import RunningProxy, TenantCluster, random_id

MAPS: Final = "/api/v1/namespaces/default/configmaps"
BIG: Final = 700_000
"""Bytes of each of MANY objects: together more than the buffers on the way hold."""
MANY: Final = 8
NARROW: Final = 4096
"""Bytes of the receive buffer of a client that does not read."""
LATEST: Final = 3 * PATIENCE + 5
"""Seconds until the last of them must be gone: a client that reads nothing is looked at twice, each second at most."""
HARMED: Final = 2.0
"""Seconds that another client's request may take meanwhile."""
KEEPALIVE_TIMER: Final = 2
"""What /proc/net/tcp calls the timer of keep-alive probes."""


@pytest.fixture(scope="module")
def hurried(host: Host, run_folder: Path, proxy: RunningProxy) -> Iterator[RunningProxy]:
    """A proxy with little patience. (`proxy` installs first.)"""
    del proxy
    limits = {"drain": "2s", "keepAlive": f"{PATIENCE:.0f}s"}
    program = (sys.executable, "-m", "e2e.chaos.hurried")
    running = RunningProxy(host, run_folder / "hurried", {"limits": limits}, program=program)
    running.start()
    yield running
    running.stop_serving()


@pytest.fixture
def tenants(hurried: RunningProxy, run_folder: Path) -> list[TenantCluster]:
    return [TenantCluster(hurried, random_id(), run_folder).create("--timeout", "60") for _ in range(2)]


def held(port: int) -> dict[int, int]:
    """The clients' ports of the connections that a server on `port` still has, each with its timer of now.

    /proc/net/tcp: local and remote address, state (0A: listening), queues, timer, ..., inode (0: nobody's any more).
    """
    found = {}
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, state, _, timer, *_ = line.split()
        if int(local.rpartition(":")[2], 16) == port and state != "0A" and line.split()[9] != "0":
            found[int(remote.rpartition(":")[2], 16)] = int(timer.partition(":")[0], 16)
    return found


@dataclass
class Slow:
    """One of them: what it says at once, what it repeats after that, and whether it wants TLS, reads or half-closes."""

    name: str
    first: bytes = b""
    trickle: bytes = b""
    tls: bool = True
    reads: bool = True
    half_closed: bool = False
    answer: bytes = b""
    """How what it is answered begins; nothing: it is not answered."""
    got: bytearray = field(default_factory=bytearray)
    ended: float = 0.0

    def connect(self, access: Access) -> None:
        self.plain = socket.socket()
        if not self.reads:
            self.plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, NARROW)
        self.plain.settimeout(5)
        self.plain.connect((access.address.hostname, access.address.port))
        self.port = int(self.plain.getsockname()[1])
        name = access.address.hostname
        self.socket = access.tls.wrap_socket(self.plain, server_hostname=name) if self.tls else self.plain
        self.socket.sendall(self.first)
        if self.half_closed:
            socket.socket.shutdown(self.socket, socket.SHUT_WR)  # without a goodbye of TLS
        self.socket.settimeout(0.01)

    def go_on(self) -> None:
        """Say some more; take in what is there."""
        with contextlib.suppress(OSError):
            if self.trickle:
                self.socket.sendall(self.trickle)
        if self.reads:
            self.take()

    def take(self) -> None:
        with contextlib.suppress(OSError):
            while data := self.socket.recv(65536):
                self.got += data


def slow_clients(token: str) -> list[Slow]:
    def head(line: str, *headers: str) -> bytes:
        lines = [f"{line} HTTP/1.1", "Host: vcproxy", f"Authorization: Bearer {token}", *headers]
        return "\r\n".join([*lines, "", ""]).encode()

    whole = b"HTTP/1.1 200 OK\r\n"
    late = b"HTTP/1.1 408 "
    post, sized = f"POST {MAPS}", "Content-Type: application/json"
    return [
        Slow("no handshake", tls=False),
        Slow("half a handshake", b"\x16\x03\x01\x02\x00\x01\x00", tls=False),
        Slow("no request"),
        Slow("half a head", b"GET /version HTTP/1.1\r\nHost: x\r\n"),
        Slow("a head byte by byte", b"GET /version HTTP/1.1\r\nHost: x\r\nX-Long: ", b"a"),
        Slow("half a head, and it says no more", b"GET /version HTTP/1.1\r\nHost: x\r\n", half_closed=True),
        Slow("no body", head(post, sized, "Content-Length: 100"), answer=late),
        Slow("a body byte by byte", head(post, sized, "Content-Length: 100000"), b"a", answer=late),
        Slow("a body chunk by chunk", head(post, sized, "Transfer-Encoding: chunked"), b"1\r\na\r\n", answer=late),
        Slow("nothing after an answer", head("GET /version"), answer=whole),
        Slow("a list that it does not read", head(f"GET {MAPS}"), reads=False, answer=whole),
        Slow("lists that it does not read", head(f"GET {MAPS}") * 20, reads=False, answer=whole),
        Slow("a watch that it does not read", head(f"GET {MAPS}?watch=1"), reads=False, answer=whole),
    ]


class Bystander:
    """Another tenant's client, which gets on with its work; `took` has the seconds of each request."""

    def __init__(self, kubeconfig: Path) -> None:
        self.took: list[float] = []
        self.failed: BaseException | None = None
        self._client = Client(kubeconfig)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            while not self._stop.wait(0.05):
                start = time.monotonic()
                assert self._client.call("GET", MAPS).code == 200
                self.took.append(time.monotonic() - start)
        except BaseException as error:
            self.failed = error

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(30)
        assert self.failed is None, self.failed


def until_gone(slow: list[Slow], port: int) -> None:
    """Go on with each of them until the proxy has let go of it; `ended` says when."""
    start, left = time.monotonic(), slow
    while left:
        took = time.monotonic() - start
        assert took < LATEST, [(one.name, bytes(one.got[:200])) for one in left]
        for one in left:
            one.go_on()
        there = held(port)
        for one in left:
            one.ended = took if one.port not in there else 0.0
        left = [one for one in left if not one.ended]
        time.sleep(0.2)


def test_slow_clients_are_ended_and_harm_nobody(hurried: RunningProxy, tenants: list[TenantCluster]) -> None:
    theirs, others = (one.kubeconfig for one in tenants)
    client, access = Client(theirs), Access(theirs)
    for number in range(MANY):
        assert client.call("POST", MAPS, {"metadata": {"name": f"big-{number}"}, "data": {"x": "x" * BIG}}).code == 201
    slow, bystander = slow_clients(client.token), Bystander(others)
    with contextlib.ExitStack() as stack:
        for one in slow:
            one.connect(access)
            stack.callback(one.socket.close)
        until_gone(slow, hurried.port)
        for one in slow:
            one.take()  # those that did not read find out how far it came
    bystander.stop()
    assert {one.name: bytes(one.got[: len(one.answer)]) for one in slow} == {one.name: one.answer for one in slow}
    assert not any(one.got for one in slow if not one.answer)
    whole = MANY * BIG
    assert {one.name: len(one.got) < whole for one in slow if not one.reads} == {
        one.name: True for one in slow if not one.reads
    }
    patient = [one for one in slow if not one.half_closed]
    assert all(one.ended > PATIENCE - 1.5 for one in patient), [(one.name, one.ended) for one in patient]
    assert len(bystander.took) > 20
    assert max(bystander.took) < HARMED
    hurried.check()


def test_a_client_that_only_waits_is_probed_and_stays(hurried: RunningProxy, tenants: list[TenantCluster]) -> None:
    """Whoever is gone without a word does not answer the probes (TCP keep-alive), and is ended by the kernel."""
    connection = Client(tenants[0].kubeconfig).connect(30)
    headers = {"Authorization": f"Bearer {tenants[0].token}"}
    connection.request("GET", f"{MAPS}?watch=1&fieldSelector=metadata.name%3Dnone", headers=headers)
    with contextlib.closing(connection):
        port = connection.sock.getsockname()[1]
        time.sleep(2 * PATIENCE)
        assert held(hurried.port)[port] == KEEPALIVE_TIMER
