"""Two workers on one address behave as one proxy: whichever takes a connection.

What copies of a proxy have in common, replicas or workers, is in e2e/chaos/test_replicas.py.
"""

import os
import signal
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.client import Client
from e2e.cluster.host import Host
from e2e.cluster.proxy import RunningProxy, TenantCluster, random_id

MAPS = "/api/v1/namespaces/default/configmaps"
CONNECTIONS = 24
"""New connections that are asked on: that all meet the same one of two workers has a chance of 1 in 8 million."""


@pytest.fixture(scope="module")
def pair(host: Host, run_folder: Path, proxy: RunningProxy) -> Iterator[RunningProxy]:
    """Two workers before the host. (`proxy` installs first.)"""
    running = RunningProxy(host, run_folder / "pair", {"limits": {"drain": "3s"}}, workers=2)
    running.start()
    yield running
    assert running.stop_serving() == 0


@pytest.fixture(scope="module")
def tenant(pair: RunningProxy, run_folder: Path) -> TenantCluster:
    return TenantCluster(pair, random_id(), run_folder).create("--timeout", "60")


@pytest.fixture
def client(pair: RunningProxy, tenant: TenantCluster) -> Client:
    found = Client(tenant.kubeconfig)
    found.host, found.port = "127.0.0.1", pair.port
    return found


def requests_of(pair: RunningProxy, worker: int) -> float:
    """Requests that one worker has answered, by its metrics."""
    with urllib.request.urlopen(f"http://127.0.0.1:{pair.operations_port + worker}/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith("vcproxy_requests_total{"))


def children(pair: RunningProxy) -> set[int]:
    return {int(pid) for pid in Path(f"/proc/{pair.pid}/task/{pair.pid}/children").read_text().split()}


def wait_known_by_both(client: Client) -> None:
    """A tenant just made is known to each worker by a watch of its own."""
    end, good = time.monotonic() + 20, 0
    while good < CONNECTIONS:
        good = good + 1 if client.call("GET", MAPS).code == 200 else 0
        assert time.monotonic() < end


def test_both_workers_answer_and_answer_alike(client: Client, pair: RunningProxy) -> None:
    wait_known_by_both(client)
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "shared"}}
    assert client.call("POST", MAPS, body).code == 201
    before = [requests_of(pair, worker) for worker in (0, 1)]
    seen = {client.call("GET", f"{MAPS}/shared").document["metadata"]["uid"] for _ in range(CONNECTIONS)}
    assert len(seen) == 1
    after = [requests_of(pair, worker) for worker in (0, 1)]
    assert all(later > earlier for earlier, later in zip(before, after, strict=True))
    assert sum(after) - sum(before) == CONNECTIONS


def test_a_namespace_that_was_just_looked_for_and_made_is_there_at_whichever_worker(client: Client) -> None:
    """What helm does: it looks for releases in a namespace that is not there yet, makes it, and writes into it."""
    wait_known_by_both(client)
    for number in range(8):
        maps = f"/api/v1/namespaces/fresh-{number}/configmaps"
        assert [client.call("GET", maps).code for _ in range(4)] == [200] * 4
        space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"fresh-{number}"}}
        assert client.call("POST", "/api/v1/namespaces", space).code == 201
        written = [client.call("POST", maps, {"metadata": {"name": f"map-{one}"}}).code for one in range(4)]
        assert written == [201] * 4


def test_a_worker_that_is_killed_is_started_anew(client: Client, pair: RunningProxy) -> None:
    wait_known_by_both(client)
    before = children(pair)
    worker = next(pid for pid in before if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes())
    os.kill(worker, signal.SIGKILL)
    end = time.monotonic() + 20
    while worker in children(pair) or not children(pair) - before:
        assert time.monotonic() < end
        time.sleep(0.1)
    pair.wait_ready()
    wait_known_by_both(client)
