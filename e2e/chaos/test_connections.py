"""Connections without end: silent ones, and more than there are descriptors for."""

import contextlib
import resource
import select
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from e2e.client import Client
from e2e.cluster.host import Host
from e2e.cluster.proxy import RunningProxy, TenantCluster, random_id

SILENT: Final = 10_000
"""Connections without a handshake, which costs both ends milliseconds: this is about those that say nothing."""
GREETED: Final = 300
"""Connections that finished their handshake and then say nothing."""
FEW: Final = 150
"""Descriptors of a proxy that has too few."""
MAPS: Final = "/api/v1/namespaces/default/configmaps"
SLOW: Final = 2.0
"""Seconds that a request may take meanwhile, on a machine that makes all these connections itself."""


@pytest.fixture
def crowded(host: Host, run_folder: Path, proxy: RunningProxy) -> Iterator[RunningProxy]:
    """A proxy of its own. (`proxy` installs first.)"""
    del proxy
    running = RunningProxy(host, run_folder / f"crowded-{random_id()}", {"limits": {"drain": "2s"}})
    running.start()
    yield running
    running.stop_serving()


@pytest.fixture
def client(crowded: RunningProxy, run_folder: Path) -> Client:
    tenant = TenantCluster(crowded, random_id(), run_folder).create("--timeout", "60")
    found = Client(tenant.kubeconfig)
    found.host, found.port = "127.0.0.1", crowded.port
    return found


@contextlib.contextmanager
def descriptors(wanted: int) -> Iterator[None]:
    """This process may open so many files for a while. Fails where the machine does not allow it."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(wanted, before[0]), before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def slowest(client: Client, times: int) -> float:
    """The slowest of some requests, one after the other."""
    took = []
    for _ in range(times):
        start = time.monotonic()
        assert client.call("GET", MAPS).code == 200
        took.append(time.monotonic() - start)
    return max(took)


def resident(pid: int) -> int:
    """MiB of a process."""
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) // 1024


def ended(connections: list[socket.socket]) -> int:
    """How many the other end has closed."""
    poll = select.poll()
    for one in connections:
        poll.register(one, select.POLLIN | select.POLLHUP | select.POLLERR)
    return len(poll.poll(0))


def test_ten_thousand_silent_connections_harm_nobody_and_are_ended(client: Client, crowded: RunningProxy) -> None:
    silent: list[socket.socket] = []
    with descriptors(SILENT + GREETED + 500), contextlib.ExitStack() as stack:
        for number in range(SILENT):
            silent.append(stack.enter_context(socket.create_connection(("127.0.0.1", crowded.port), timeout=20)))
            if number % 1000 == 0:
                assert slowest(client, 1) < SLOW
        greeted = [stack.enter_context(client.tls_socket()) for _ in range(GREETED)]
        assert slowest(client, 5) < SLOW
        assert resident(crowded.pid) < 1024
        end = time.monotonic() + 30
        while ended(silent) < SILENT and time.monotonic() < end:
            time.sleep(0.5)
        assert ended(silent) == SILENT
        assert len(greeted) == GREETED
    assert slowest(client, 5) < SLOW


def test_a_proxy_without_descriptors_lives_on_and_recovers(client: Client, crowded: RunningProxy) -> None:
    pid = crowded.pid
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (FEW, FEW))
    with contextlib.ExitStack() as stack:
        for _ in range(FEW * 2):
            stack.enter_context(socket.create_connection(("127.0.0.1", crowded.port), timeout=20))
        with contextlib.suppress(OSError, ssl.SSLError):
            client.call("GET", MAPS)  # refused, late or served: there is no room
    end = time.monotonic() + 20
    served = False
    while not served and time.monotonic() < end:
        with contextlib.suppress(OSError, ssl.SSLError):
            served = client.call("GET", MAPS).code == 200
    assert served
    crowded.check()
    assert crowded.pid == pid
