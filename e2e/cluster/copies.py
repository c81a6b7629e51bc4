"""Two copies of vcproxy on one address: replicas behind a balancer, or workers of one process behind the kernel."""

import contextlib
import http.client
import itertools
import os
import select
import signal
import socket
import threading
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

from e2e.client import Client
from e2e.cluster.proxy import RunningProxy, TenantCluster

COPIES: Final = 2
BACK: Final = 60.0
"""Seconds in which a worker that was ended must be there again."""
DIALS: Final = 60
"""Connections that are tried until the wanted worker has one: the kernel gives each of two every second one."""


class Copies(Protocol):
    """COPIES of them, counted from 0; `port` is where clients reach whichever."""

    installed: RunningProxy
    """For commands of the administrator."""
    port: int

    def at(self, number: int, tenant: TenantCluster) -> Client:
        """A client of one of them."""
        ...

    def end(self, number: int, *, kill: bool) -> None:
        """One ends: in order, or at once."""
        ...

    def bring_back(self, number: int) -> None:
        """The same one serves again."""
        ...


def wait_known(copies: Copies, tenant: TenantCluster) -> None:
    """Returns when all serve a tenant."""
    end = time.monotonic() + 20
    for number in range(COPIES):
        while copies.at(number, tenant).call("GET", "/version").code != 200:
            assert time.monotonic() < end
            time.sleep(0.1)


class Replicas:
    """Processes with addresses of their own."""

    def __init__(self, running: Sequence[RunningProxy]) -> None:
        self.installed = running[0]
        self._running = running
        self._balancer = RoundRobin([one.port for one in running])
        self.port = self._balancer.port

    def stop(self) -> None:
        self._balancer.stop()

    def at(self, number: int, tenant: TenantCluster) -> Client:
        found = Client(tenant.kubeconfig)
        found.port = self._running[number].port
        return found

    def end(self, number: int, *, kill: bool) -> None:
        self._running[number].kill_serving() if kill else self._running[number].stop_serving()

    def bring_back(self, number: int) -> None:
        self._running[number].start_serving()


class Workers:
    """Workers of one supervisor, which starts those anew that end. Which one has a connection tells /proc."""

    def __init__(self, running: RunningProxy) -> None:
        self.installed = running
        self.port = running.port
        for number in range(COPIES):
            self.bring_back(number)

    def at(self, number: int, tenant: TenantCluster) -> Client:
        return WorkerClient(tenant.kubeconfig, self, number)

    def end(self, number: int, *, kill: bool) -> None:
        os.kill(self._pid(number), signal.SIGKILL if kill else signal.SIGTERM)
        end = time.monotonic() + 20
        while self._pid(number):
            assert time.monotonic() < end
            time.sleep(0.05)

    def bring_back(self, number: int) -> None:
        end = time.monotonic() + BACK
        while not self._ready(number):
            assert time.monotonic() < end
            time.sleep(0.05)

    def holds(self, number: int, client: int) -> bool:
        """Whether a worker has the connection from a client's port."""
        inode = sockets(self.port).get(client)
        return inode is not None and inode in inodes(self._pid(number))

    def _pid(self, number: int) -> int:
        """The worker that listens on its port for operations; 0: none does."""
        listening = sockets(self.installed.operations_port + number).get(0, "")
        return next((pid for pid in self._children() if listening in inodes(pid)), 0)

    def _children(self) -> list[int]:
        pid = self.installed.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def _ready(self, number: int) -> bool:
        url = f"http://127.0.0.1:{self.installed.operations_port + number}/readyz"
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
        return False


class WorkerClient(Client):
    """Every connection of it is one worker's."""

    def __init__(self, kubeconfig: Path, workers: Workers, number: int) -> None:
        super().__init__(kubeconfig)
        self._workers, self._number = workers, number

    def connect(self, timeout: float = 30.0) -> http.client.HTTPSConnection:
        for _ in range(DIALS):
            connection = super().connect(timeout)
            connection.connect()
            if self._workers.holds(self._number, connection.sock.getsockname()[1]):
                return connection
            connection.close()
        raise AssertionError(f"none of {DIALS} connections went to worker {self._number}")


def sockets(port: int) -> dict[int, str]:
    """The sockets of servers here whose port it is: their inodes, by the client's port; 0: the one that listens.

    /proc/net/tcp: number, local and remote address, state, queues, timer, ..., inode.
    """
    found = {}
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if int(fields[1].rpartition(":")[2], 16) == port:
            found[int(fields[2].rpartition(":")[2], 16)] = fields[9]
    return found


def inodes(pid: int) -> set[str]:
    """Those of the sockets that a process holds; none of one that is gone."""
    found = set()
    with contextlib.suppress(OSError):
        for file in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                found.add(os.readlink(file).removeprefix("socket:[").removesuffix("]"))
    return found


class RoundRobin:
    """A load balancer for TCP: each connection goes to the next port that takes it."""

    def __init__(self, ports: Sequence[int]) -> None:
        self._count = len(ports)
        self._ports = itertools.cycle(ports)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # it was stopped
            while True:
                threading.Thread(target=self._serve, args=self._listener.accept()[:1], daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            backend = self._next()
            if backend is not None:
                with backend:
                    copy_both_ways(client, backend)

    def _next(self) -> socket.socket | None:
        for _ in range(self._count):
            port = next(self._ports)
            with contextlib.suppress(OSError):
                return socket.create_connection(("127.0.0.1", port), timeout=5)
        return None


def copy_both_ways(one: socket.socket, other: socket.socket) -> None:
    """Until either of them ends. Raises OSError."""
    peer = {one: other, other: one}
    while True:
        for ready in select.select([one, other], [], [])[0]:
            data = ready.recv(65536)
            if not data:
                return
            peer[ready].sendall(data)
