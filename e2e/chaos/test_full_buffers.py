"""Watchers that do not read: what waits for them costs the proxy no memory, and whoever reads gets everything."""

import contextlib
import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from e2e.chaos.test_connections import resident
from e2e.clients.followers import Access, Follower, Requests
from e2e.cluster.host import Host
from e2e.cluster.proxy import RunningProxy, TenantCluster, random_id

MAPS: Final = "/api/v1/namespaces/default/configmaps"
WATCHERS: Final = 200
CHANGES: Final = 2_000
PAYLOAD: Final = "x" * 8192
WRITERS: Final = 4
NARROW: Final = 4096
"""Bytes of the receive buffer of a watcher that does not read."""
ROOM: Final = 192
"""MiB by which the proxy may grow. Its window of events has 64 at most, each watcher some hundred KiB; what waits for
all of the watchers together would be more than 3,000."""


@pytest.fixture(scope="module")
def filled(host: Host, run_folder: Path, proxy: RunningProxy) -> Iterator[RunningProxy]:
    """A proxy of its own: its memory is measured. (`proxy` installs first.)"""
    del proxy
    running = RunningProxy(host, run_folder / "filled", {"limits": {"drain": "2s"}})
    running.start()
    yield running
    running.stop_serving()


@pytest.fixture
def access(filled: RunningProxy, run_folder: Path) -> Access:
    return Access(TenantCluster(filled, random_id(), run_folder).create("--timeout", "60").kubeconfig)


class Writer:
    """Makes a ConfigMap and changes it again and again; `versions` are those that it was told."""

    def __init__(self, access: Access, name: str, changes: int) -> None:
        self.versions: list[int] = []
        self.failed: BaseException | None = None
        self._requests = Requests(access)
        self._name, self._changes = name, changes
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            for number in range(self._changes):
                body = {"metadata": {"name": self._name}, "data": {"payload": PAYLOAD, "number": str(number)}}
                method, target = ("PUT", f"{MAPS}/{self._name}") if number else ("POST", MAPS)
                code, document = self._requests.call(method, target, body)
                assert code in (200, 201), document
                self.versions.append(int(document["metadata"]["resourceVersion"]))
        except BaseException as error:
            self.failed = error
        finally:
            self._requests.close()


def watching(access: Access, version: str) -> ssl.SSLSocket:
    """A watch that has been asked for, and of which only the head is read."""
    plain = socket.socket()
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, NARROW)
    plain.settimeout(30)
    plain.connect((access.address.hostname, access.address.port))
    connection = access.tls.wrap_socket(plain, server_hostname=access.address.hostname)
    lines = [
        f"GET {MAPS}?watch=1&resourceVersion={version}&timeoutSeconds=300 HTTP/1.1",
        "Host: vcproxy",
        f"Authorization: {access.headers['Authorization']}",
    ]
    connection.sendall("\r\n".join([*lines, "", ""]).encode())
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += connection.recv(1)
    assert head.startswith(b"HTTP/1.1 200 "), head
    return connection


def read(connection: ssl.SSLSocket, wanted: int) -> list[int]:
    """The versions of that many events of a chunked answer."""
    with connection.makefile("rb") as file:
        found, rest = list[int](), b""
        while len(found) < wanted:
            size = int(file.readline(), 16)
            assert size, f"it ended after {len(found)} events"
            *lines, rest = (rest + file.read(size)).split(b"\n")
            found += [int(json.loads(line)["object"]["metadata"]["resourceVersion"]) for line in lines]
            file.readline()
    return found


def test_watchers_that_do_not_read_cost_no_memory_and_no_event(filled: RunningProxy, access: Access) -> None:
    follower = Follower(access, MAPS).start()
    with contextlib.ExitStack() as stack:
        stack.callback(follower.stop)
        unread = [stack.enter_context(watching(access, follower.version)) for _ in range(WATCHERS)]
        before = most = resident(filled.pid)
        writers = [Writer(access, f"filling-{number}", CHANGES // WRITERS) for number in range(WRITERS)]
        while any(writer.thread.is_alive() for writer in writers):
            most = max(most, resident(filled.pid))
            time.sleep(0.1)
        assert [writer.failed for writer in writers] == [None] * WRITERS
        versions = sorted(version for writer in writers for version in writer.versions)
        end = time.monotonic() + 30
        while len(follower.events) < CHANGES and time.monotonic() < end:
            time.sleep(0.1)
        assert [one.version for one in follower.events] == versions
        assert (follower.lists, follower.problems) == (1, [])
        most = max(most, resident(filled.pid))
        assert most - before < ROOM, f"from {before} to {most} MiB"
        assert read(unread[0], CHANGES) == versions, "who reads in the end has missed nothing"
    filled.check()
