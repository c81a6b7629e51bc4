"""Shared watches on a real API server: how many the host sees, who is cut off, and when they end."""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from e2e.client import Client
from e2e.cluster.control_plane import ControlPlane
from e2e.cluster.proxy import RunningProxy, TenantCluster
from e2e.witness import AuditLog

KINDS = {
    "/api/v1": ("configmaps", "services", "pods"),
    "/apis/apps/v1": ("deployments", "replicasets"),
}
MAPS = "/api/v1/namespaces/default/configmaps"


class Following:
    """A watch that is read by a thread of its own until it ends; `events` are those so far."""

    def __init__(self, client: Client, target: str) -> None:
        self.events: list[dict[str, Any]] = []
        self.broken: Exception | None = None
        self._source = client.events(target, timeout=60)
        self._thread = threading.Thread(target=self._follow)
        self._thread.start()

    def _follow(self) -> None:
        try:
            self.events.extend(iter(self._source))
        except Exception as error:
            self.broken = error

    def names(self) -> list[str]:
        return [f"{one['type']} {one['object']['metadata'].get('name', '')}" for one in tuple(self.events)]

    def saw(self, wanted: str, seconds: float = 10.0) -> bool:
        return until(lambda: wanted in self.names(), seconds)

    def ended(self, seconds: float) -> bool:
        """Whether it ended within some seconds, with a clean last chunk."""
        self._thread.join(seconds)
        return not self._thread.is_alive() and self.broken is None


def until(true: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if true():
            return True
        time.sleep(0.05)
    return False


def version(client: Client, target: str = MAPS) -> str:
    return str(client.call("GET", target).document["metadata"]["resourceVersion"])


def make(client: Client, name: str, target: str = MAPS) -> None:
    answer = client.call("POST", target, {"metadata": {"name": name}})
    assert answer.code == 201, answer.body


@pytest.fixture
def client(tenant: TenantCluster) -> Client:
    return Client(tenant.kubeconfig)


def watches(log: AuditLog, at: int) -> Iterator[dict[str, Any]]:
    """The watches of the kinds above that the proxy (not the controller) began on the host since `at`."""
    resources = [resource for several in KINDS.values() for resource in several]
    for one in log.entries(at):
        user = one["user"]["username"]
        if one["verb"] == "watch" and user.endswith(":vcproxy") and one["stage"] == "ResponseStarted":
            what = one.get("objectRef", {})
            if what.get("resource") in resources and what.get("namespace") != "vcproxy-system":
                yield one


@pytest.mark.own_host
def test_informers_of_many_tenants_cost_the_host_one_watch_for_each_kind(
    tenant_factory: Callable[[], TenantCluster], proxy: RunningProxy, control_plane: ControlPlane
) -> None:
    tenants = [Client(tenant_factory().kubeconfig) for _ in range(3)]
    proxy.stop_serving()  # watches of tests before are gone with it
    proxy.start_serving()
    log = AuditLog(control_plane)
    at = log.mark()
    opened = []
    for client in tenants:
        for group, resources in KINDS.items():
            for resource in resources:
                since = version(client, f"{group}/{resource}")
                query = f"watch=1&allowWatchBookmarks=true&timeoutSeconds=20&resourceVersion={since}"
                opened.append(Following(client, f"{group}/{resource}?{query}"))
    for number, client in enumerate(tenants):
        make(client, f"of-{number}")
        follower = opened[number * 5]
        assert follower.saw(f"ADDED of-{number}"), follower.events
    lasting = [one for one in watches(log, at) if "timeoutSeconds=4&" not in one["requestURI"]]
    seen = sorted(one["objectRef"]["resource"] for one in lasting)
    assert seen == sorted(resource for several in KINDS.values() for resource in several)
    assert not any(one.get("impersonatedUser") for one in lasting)
    assert all(one.ended(40) for one in opened)
    others = [f"of-{number}" for number in range(3)]
    for number in range(3):
        mine = [name for name in opened[number * 5].names() if name.partition(" ")[2] in others]
        assert mine == [f"ADDED of-{number}"]


def test_a_client_resumes_across_a_restart_of_the_proxy(client: Client, proxy: RunningProxy) -> None:
    make(client, "first")
    old = version(client)
    make(client, "second")
    newer = version(client)
    proxy.stop_serving()
    proxy.start_serving()
    assert until(lambda: client.call("GET", MAPS).code == 200, 20)
    ahead = Following(client, f"{MAPS}?watch=1&resourceVersion={newer}&timeoutSeconds=12")
    make(client, "third")
    assert ahead.saw("ADDED third")
    behind = Following(client, f"{MAPS}?watch=1&resourceVersion={old}&timeoutSeconds=6")
    assert behind.saw("ADDED third")
    make(client, "fourth")
    assert ahead.saw("ADDED fourth")
    assert behind.saw("ADDED fourth")
    assert ahead.names() == ["ADDED third", "ADDED fourth"]
    assert behind.names() == ["ADDED second", "ADDED third", "ADDED fourth"]
    assert behind.ended(20)
    assert ahead.ended(20)


def test_a_version_that_the_host_no_longer_knows_is_410_as_on_the_host(client: Client) -> None:
    make(client, "any")
    live = Following(client, f"{MAPS}?watch=1&resourceVersion={version(client)}&timeoutSeconds=15")
    answer = client.call("GET", f"/api/v1/configmaps?watch=1&timeoutSeconds=2&resourceVersion={1 << 40}")
    assert (answer.code, answer.body) == (200, b"")
    make(client, "later")
    assert live.saw("ADDED later")
    assert live.ended(30)


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("application/json", "ConfigMap"),
        ("application/json;as=Table;v=v1;g=meta.k8s.io", "Table"),
        ("application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io", "PartialObjectMetadata"),
    ],
)
@pytest.mark.own_host
def test_initial_events_look_as_the_host_sends_them(
    client: Client, tenant: TenantCluster, control_plane: ControlPlane, accept: str, kind: str
) -> None:
    make(client, "one")
    query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&timeoutSeconds=3"
    ours = client.call("GET", f"{MAPS}?{query}", headers={"Accept": accept}).body
    theirs = on_host(
        control_plane,
        f"/api/v1/namespaces/{tenant.id}-default/configmaps?{query}&labelSelector=%21vcproxy.io%2Fhidden",
        accept,
    )
    assert [shape(line) for line in ours.splitlines()] == [shape(line) for line in theirs.splitlines()]
    assert json.loads(ours.splitlines()[0])["object"]["kind"] == kind
    assert tenant.id.encode() not in ours


def on_host(plane: ControlPlane, target: str, accept: str) -> bytes:
    import urllib.request

    request = urllib.request.Request(plane.url + target, headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=20, context=plane._tls()) as answer:
        return bytes(answer.read())


def shape(line: bytes) -> Any:
    """An event without what differs from tenant to host and from moment to moment."""
    event = json.loads(line)
    document = event["object"]
    rows = document.get("rows") or [{"cells": [], "object": document}]
    metadata = rows[0]["object"]["metadata"]
    return (
        event["type"],
        sorted(document),
        (document["kind"], document["apiVersion"]),
        document.get("columnDefinitions"),
        rows[0]["cells"][:1] if event["type"] != "BOOKMARK" else [],
        metadata.get("name"),
        metadata.get("annotations") if event["type"] == "BOOKMARK" else None,
    )


def test_the_first_event_of_a_table_watch_has_its_columns(client: Client) -> None:
    since = version(client)
    table = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}
    for name in ("a", "b"):
        make(client, name)
    for _ in range(2):  # from the host, and from the window
        body = client.call("GET", f"{MAPS}?watch=1&resourceVersion={since}&timeoutSeconds=2", headers=table).body
        first, second = (json.loads(line)["object"] for line in body.splitlines())
        assert [column["name"] for column in first["columnDefinitions"]] == ["Name", "Data", "Age"]
        assert second["columnDefinitions"] is None
        assert [one["rows"][0]["object"]["metadata"]["namespace"] for one in (first, second)] == ["default"] * 2


def test_namespaces_come_and_go_while_a_watch_is_open(client: Client) -> None:
    namespaces = "/api/v1/namespaces"
    since = version(client, "/api/v1/configmaps")
    maps = Following(client, f"/api/v1/configmaps?watch=1&resourceVersion={since}&timeoutSeconds=25")
    spaces = Following(client, f"{namespaces}?watch=1&timeoutSeconds=25")
    make(client, "coming", namespaces)
    make(client, "inside", f"{namespaces}/coming/configmaps")
    assert maps.saw("ADDED inside")
    assert spaces.saw("ADDED coming")
    assert client.call("DELETE", f"{namespaces}/coming").code == 200
    assert maps.saw("DELETED inside", 20)
    assert spaces.saw("DELETED coming", 20)
    assert "ADDED vcproxy" not in spaces.names()
    make(client, "coming", namespaces)
    make(client, "again", f"{namespaces}/coming/configmaps")
    assert maps.saw("ADDED again")
    assert maps.ended(40)
    assert spaces.ended(40)


def test_a_client_that_stops_reading_harms_nobody(client: Client) -> None:
    since = version(client)
    target = f"{MAPS}?watch=1&resourceVersion={since}&timeoutSeconds=30"
    stalled = client.tls_socket()
    stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    request = f"GET {target} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {client.token}\r\n\r\n"
    stalled.sendall(request.encode())
    other = Following(client, target)
    body = {"metadata": {"name": "big"}, "data": {"x": "y" * 500_000}}
    assert client.call("POST", MAPS, body).code == 201
    for number in range(20):
        patch = {"data": {"n": str(number)}}
        headers = {"Content-Type": "application/merge-patch+json"}
        assert client.call("PATCH", f"{MAPS}/big", patch, headers=headers).code == 200
    assert until(lambda: len(other.events) == 21, 20), len(other.events)
    make(client, "after")
    assert other.saw("ADDED after")
    stalled.close()
    assert other.ended(40)


def test_a_suspended_tenants_watches_end_within_five_seconds(
    client: Client, tenant: TenantCluster, proxy: RunningProxy
) -> None:
    watch = Following(client, f"{MAPS}?watch=1&timeoutSeconds=60")
    assert watch.saw("ADDED kube-root-ca.crt")
    proxy.cli("tenant", "suspend", tenant.id)
    assert watch.ended(5)


def test_a_revoked_tokens_watches_end_within_five_seconds(
    client: Client, tenant: TenantCluster, proxy: RunningProxy
) -> None:
    watch = Following(client, f"{MAPS}?watch=1&timeoutSeconds=60")
    assert watch.saw("ADDED kube-root-ca.crt")
    proxy.cli("token", "revoke", tenant.id, "--user", "admin")
    assert watch.ended(5)


def test_a_drain_ends_watches_with_a_bookmark_and_a_clean_last_chunk(client: Client, proxy: RunningProxy) -> None:
    since = version(client)
    query = f"watch=1&resourceVersion={since}&timeoutSeconds=60"
    asked = Following(client, f"{MAPS}?{query}&allowWatchBookmarks=true")
    plain = Following(client, f"{MAPS}?{query}")
    assert asked.saw("BOOKMARK ")  # it is greeted with the version that it named
    make(client, "last")
    make(client, "elsewhere", "/api/v1/namespaces/kube-public/configmaps")
    assert asked.saw("ADDED last")
    assert plain.saw("ADDED last")
    time.sleep(0.2)
    with contextlib.ExitStack() as stack:
        stack.callback(proxy.start_serving)
        proxy.stop_serving()
        assert asked.ended(10)
        assert plain.ended(10)
    assert [one["type"] for one in asked.events] == ["BOOKMARK", "ADDED", "BOOKMARK"]
    greeting, added, last = (int(one["object"]["metadata"]["resourceVersion"]) for one in asked.events)
    assert int(since) <= greeting < added < last
    assert [one["type"] for one in plain.events] == ["ADDED"]
