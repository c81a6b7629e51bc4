"""Two replicas behind one address, each connection at the next one: clients cannot tell, nor when one of them ends."""

import contextlib
import itertools
import json
import select
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import pytest

from e2e.client import Client
from e2e.clients.followers import Access, Follower
from e2e.cluster.host import Host
from e2e.cluster.proxy import RunningProxy, TenantCluster, random_id

# CPython's wrap_socket leaves a socket unclosed whose peer was gone before the handshake (SSLSocket._create)
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket(?!.*raddr):ResourceWarning")

MAPS: Final = "/api/v1/namespaces/default/configmaps"
REVOKED: Final = 5.0
"""Seconds in which every replica must refuse a revoked token."""


class RoundRobin:
    """A load balancer for TCP: each connection goes to the next port that takes it. `taken` counts them by port."""

    def __init__(self, ports: Sequence[int]) -> None:
        self.taken: Counter[int] = Counter()
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
                backend = socket.create_connection(("127.0.0.1", port), timeout=5)
                self.taken[port] += 1
                return backend
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


@pytest.fixture(scope="module")
def replicas(host: Host, run_folder: Path, proxy: RunningProxy) -> Iterator[list[RunningProxy]]:
    """Two of them. (`proxy` installs first.)"""
    del proxy
    with contextlib.ExitStack() as stack:
        made = []
        for number in range(2):
            running = RunningProxy(host, run_folder / f"replica-{number}", {"limits": {"drain": "2s"}})
            running.start()
            stack.callback(running.stop_serving)
            made.append(running)
        yield made


@pytest.fixture(scope="module")
def balancer(replicas: list[RunningProxy]) -> Iterator[RoundRobin]:
    made = RoundRobin([replica.port for replica in replicas])
    yield made
    made.stop()


@pytest.fixture
def tenant(replicas: list[RunningProxy], balancer: RoundRobin, run_folder: Path) -> TenantCluster:
    """Its kubeconfig names the common address."""
    made = TenantCluster(replicas[0], random_id(), run_folder).create("--timeout", "60")
    replicas[1].wait_known(made.id, made.token)
    address = f"https://127.0.0.1:{balancer.port}"
    replicas[0].cli("kubeconfig", made.id, "--server", address, "--out", str(made.kubeconfig))
    for replica in replicas:
        replica.wait_known(made.id, made.token)
    return made


@pytest.fixture
def client(tenant: TenantCluster) -> Client:
    return Client(tenant.kubeconfig)


def at(replica: RunningProxy, tenant: TenantCluster) -> Client:
    """A client of one replica, past the balancer."""
    found = Client(tenant.kubeconfig)
    found.port = replica.port
    return found


def created(client: Client, name: str) -> str:
    """Its version."""
    answer = client.call("POST", MAPS, {"metadata": {"name": name}})
    assert answer.code == 201, answer.body
    return str(answer.document["metadata"]["resourceVersion"])


def created_somehow(client: Client, name: str) -> None:
    """However often it has to be asked for."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            if client.call("POST", MAPS, {"metadata": {"name": name}}).code in (201, 409):
                return
        time.sleep(0.1)
    raise TimeoutError(name)


def told(follower: Follower, wanted: int) -> None:
    end = time.monotonic() + 30
    while len(follower.events) < wanted:
        assert time.monotonic() < end, follower.events
        time.sleep(0.1)


def test_a_list_goes_on_at_the_other_replica(
    client: Client, tenant: TenantCluster, replicas: list[RunningProxy], balancer: RoundRobin
) -> None:
    for number in range(7):
        created(client, f"many-{number}")
    whole = client.call("GET", MAPS).document
    wanted = [one["metadata"]["name"] for one in whole["items"]]
    before = Counter(balancer.taken)
    found, token = [], ""
    for turn in itertools.count():
        answer = client.call("GET", f"{MAPS}?limit=1{f'&continue={token}' if token else ''}")
        assert answer.code == 200, answer.body
        found += [one["metadata"]["name"] for one in answer.document["items"]]
        if turn == 0:
            created(client, "zz-later")  # not part of the list that has begun
        token = answer.document["metadata"].get("continue", "")
        if not token:
            break
    assert found == wanted
    assert all(balancer.taken[replica.port] - before[replica.port] >= 3 for replica in replicas)
    foreign = at(replicas[0], tenant).call("GET", f"{MAPS}?limit=1").document["metadata"]["continue"]
    assert at(replicas[1], tenant).call("GET", f"{MAPS}?continue={foreign}").code == 200


def test_a_watch_resumes_at_the_other_replica(tenant: TenantCluster, replicas: list[RunningProxy]) -> None:
    here, there = (at(replica, tenant) for replica in replicas)
    created(here, "first")
    since = created(there, "second")
    created(here, "third")
    events = here.events(f"{MAPS}?watch=1&resourceVersion={since}&timeoutSeconds=30")
    third = next(events)["object"]["metadata"]
    events.close()
    created(here, "fourth")
    created(there, "fifth")
    events = there.events(f"{MAPS}?watch=1&resourceVersion={third['resourceVersion']}&timeoutSeconds=30")
    seen = [next(events)["object"]["metadata"]["name"] for _ in range(2)]
    events.close()
    assert (third["name"], seen) == ("third", ["fourth", "fifth"])


def test_replicas_that_end_in_turn_cost_a_watcher_no_event(
    client: Client, tenant: TenantCluster, replicas: list[RunningProxy]
) -> None:
    follower, made = Follower(Access(tenant.kubeconfig), MAPS).start(), 0
    try:
        for turn in range(4):
            replica = replicas[turn % 2]
            replica.kill_serving() if turn > 1 else replica.stop_serving()
            for _ in range(10):
                created_somehow(client, f"turn-{made}")
                made += 1
            replica.start_serving()
            replica.wait_known(tenant.id, client.token)
        told(follower, made)
        time.sleep(0.5)
        uids = [one["metadata"]["uid"] for one in client.call("GET", MAPS).document["items"]]
        assert [one.type for one in follower.events] == ["ADDED"] * made
        assert len({one.uid for one in follower.events} & set(uids)) == made
        assert (follower.lists, follower.problems) == (1, [])
        assert follower.resumes >= 2
    finally:
        follower.stop()


def test_a_revoked_token_is_refused_at_every_replica(
    client: Client, tenant: TenantCluster, replicas: list[RunningProxy]
) -> None:
    issued = json.loads(replicas[0].cli("token", "issue", tenant.id, "-o", "json").stdout)
    both = [at(replica, tenant) for replica in replicas]
    for one in both:
        one.token = issued["token"]
        end = time.monotonic() + 10
        while one.call("GET", MAPS).code != 200:
            assert time.monotonic() < end
    watches = [one.events("/api/v1/configmaps?watch=1&timeoutSeconds=60", timeout=20) for one in both]
    assert [next(events)["type"] for events in watches] == ["ADDED"] * 2
    replicas[0].cli("token", "revoke", tenant.id, issued["id"])
    end = time.monotonic() + REVOKED
    while [one.call("GET", MAPS).code for one in both] != [401, 401]:
        assert time.monotonic() < end
        time.sleep(0.05)
    for events in watches:
        list(events)  # raises where it does not end by itself, and cleanly
    assert time.monotonic() < end + REVOKED
    assert client.call("GET", MAPS).code == 200
