"""Faults: the host away, slow or lost, clients that go away, the proxy told to end; each as a client can handle it."""

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e.chaos.faults import asleep, dead
from e2e.client import Client
from e2e.cluster.control_plane import ControlPlane
from e2e.cluster.host import Host
from e2e.cluster.proxy import RunningProxy, TenantCluster, random_id
from e2e.witness import AuditLog

pytestmark = [
    pytest.mark.own_host,
    # CPython's wrap_socket leaves a socket unclosed whose peer was gone before the handshake (SSLSocket._create)
    pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket(?!.*raddr):ResourceWarning"),
]

MAPS = "/api/v1/namespaces/default/configmaps"


@pytest.fixture(scope="module")
def quick(host: Host, run_folder: Path, proxy: RunningProxy) -> Iterator[RunningProxy]:
    """A second replica on the same host, with short deadlines. (`proxy` installs first and is the other replica.)"""
    del proxy
    running = RunningProxy(host, run_folder / "quick", {"limits": {"hostTimeout": "2s", "drain": "3s"}})
    running.start()
    yield running
    running.stop_serving()


@pytest.fixture(scope="module")
def tenant(quick: RunningProxy, run_folder: Path) -> TenantCluster:
    return TenantCluster(quick, random_id(), run_folder).create("--timeout", "60")


@pytest.fixture
def client(quick: RunningProxy, tenant: TenantCluster) -> Client:
    found = Client(tenant.kubeconfig)
    found.host, found.port = "127.0.0.1", quick.port
    return found


def test_two_replicas_answer_alike(client: Client, proxy: RunningProxy) -> None:
    here = client.call("GET", MAPS).document["items"]
    client.port = proxy.port
    assert client.call("GET", MAPS).document["items"] == here


def test_a_slow_host_is_504(client: Client, control_plane: ControlPlane) -> None:
    with asleep(control_plane):
        start = time.monotonic()
        answer = client.call("GET", f"{MAPS}/x")
        took = time.monotonic() - start
    assert (answer.code, answer.document["reason"], took < 10) == (504, "Timeout", True), (answer.body, took)
    assert until(client, 200)


def test_a_host_that_is_away_is_502_or_503_and_comes_back(client: Client, control_plane: ControlPlane) -> None:
    with dead(control_plane):
        answer = client.call("GET", MAPS)
        assert answer.code in (502, 503)
        assert answer.document["kind"] == "Status"
    assert until(client, 200)


def test_a_watch_outlives_its_host_or_ends_where_the_host_forgot(client: Client, control_plane: ControlPlane) -> None:
    assert client.call("POST", MAPS, {"metadata": {"name": "before"}}).code == 201
    version = client.call("GET", MAPS).document["metadata"]["resourceVersion"]
    seen: list[str] = []

    def follow() -> None:  # raises where the last chunk is missing
        for event in client.events(f"{MAPS}?watch=1&resourceVersion={version}&timeoutSeconds=30", timeout=60):
            seen.append(event["object"]["metadata"].get("name", ""))

    thread = threading.Thread(target=follow)
    thread.start()
    time.sleep(1)
    control_plane.kill_api_server()
    try:
        time.sleep(2)
        assert thread.is_alive()
    finally:
        control_plane.start_api_server()
    assert until(client, 200)
    assert client.call("POST", MAPS, {"metadata": {"name": "after"}}).code == 201
    thread.join(60)
    assert not thread.is_alive()
    if "after" in seen:
        return
    events = list(client.events(f"{MAPS}?watch=1&resourceVersion={version}&timeoutSeconds=2"))
    if events[0]["type"] == "ERROR":  # a host that restarted may not know so old a version: clients list again
        assert events[0]["object"]["code"] == 410
        events = list(client.events(f"{MAPS}?watch=1&timeoutSeconds=2"))
    assert "after" in [event["object"]["metadata"]["name"] for event in events]


def test_a_client_that_goes_away_ends_its_watch_on_the_host(client: Client, control_plane: ControlPlane) -> None:
    log = AuditLog(control_plane)
    at = log.mark()
    events = client.events(f"{MAPS}?watch=1&fieldSelector=metadata.name%3Dkube-root-ca.crt&timeoutSeconds=300")
    assert next(events)["type"] == "ADDED"
    events.close()
    end = time.monotonic() + 20
    while not any(_is_ended_watch(one) for one in log.entries(at)):
        assert time.monotonic() < end
        time.sleep(0.1)


def _is_ended_watch(entry: dict[str, Any]) -> bool:
    """Whether this tells of the end of the watch above, in the audit log of the host."""
    asked = entry["requestURI"]
    ended = entry["verb"] == "watch" and entry["stage"] == "ResponseComplete"
    return ended and "kube-root-ca.crt" in asked and "vcproxy-system" not in asked


def test_many_watches_of_one_client_end_with_it(client: Client, quick: RunningProxy) -> None:
    opened = [client.events(f"{MAPS}?watch=1&timeoutSeconds=300") for _ in range(30)]
    for events in opened:
        next(events)
    for events in opened:
        events.close()
    assert client.call("GET", MAPS).code == 200
    assert "vcproxy_requests_total" in quick.metrics()


def test_sigterm_drains_and_ends_watches_cleanly(client: Client, quick: RunningProxy) -> None:
    events = client.events(f"{MAPS}?watch=1&timeoutSeconds=300")
    next(events)
    code: list[int] = []
    start = time.monotonic()
    thread = threading.Thread(target=lambda: code.append(quick.stop_serving()))
    thread.start()
    list(events)  # raises where the last chunk is missing
    thread.join(30)
    try:
        assert code == [0]
        assert time.monotonic() - start < 10
    finally:
        quick.start_serving()
    assert until(client, 200)


def until(client: Client, code: int, seconds: float = 60.0) -> bool:
    """Whether a get answers with `code` within some seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            if client.call("GET", MAPS).code == code:
                return True
        time.sleep(0.2)
    return False
