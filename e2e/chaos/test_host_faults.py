"""The API server stops or dies while things are under way: what must hold for each of them, and afterwards.

Asked meanwhile: a Status in bounded time. Open already: watches go on and lose nothing, tunnels and followed logs go
on behind a server that only slept, and are broken off with one that died. In the end nothing is held.
"""

import contextlib
import http.client
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from e2e.chaos.faults import asleep
from e2e.client import Answer, Client
from e2e.clients.followers import Access, Follower
from e2e.clients.websocket import STDIN, Refused, WebSocket, exec_target
from e2e.cluster.control_plane import ControlPlane
from e2e.cluster.host import Host
from e2e.cluster.proxy import RunningProxy, TenantCluster, random_id

pytestmark = [
    pytest.mark.own_host,
    # CPython's wrap_socket leaves a socket unclosed whose peer was gone before the handshake (SSLSocket._create)
    pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket(?!.*raddr):ResourceWarning"),
]

SPACE: Final = "/api/v1/namespaces/default"
POD: Final = "sleeper"
TIMEOUT: Final = 4
"""Seconds that the host has for the head of an answer (limits.hostTimeout)."""
AWAY: Final = 20.0
"""Seconds for which it sleeps."""
BOUND: Final = TIMEOUT + 10
"""Seconds in which whatever is asked must be answered: connections that broke are made anew once or twice."""
SPARE: Final = 8
"""Kept connections to the host and threads that may be there afterwards beside those of before."""


@pytest.fixture(scope="module")
def quick(host: Host, run_folder: Path, proxy: RunningProxy) -> Iterator[RunningProxy]:
    """A proxy with a short deadline. (`proxy` installs first.)"""
    del proxy
    limits = {"hostTimeout": f"{TIMEOUT}s", "drain": "2s"}
    running = RunningProxy(host, run_folder / "quick-faults", {"limits": limits})
    running.start()
    yield running
    running.stop_serving()


@pytest.fixture(scope="module")
def tenant(quick: RunningProxy, run_folder: Path) -> TenantCluster:
    """With a pod on a fake node, which has logs and runs commands."""
    made = TenantCluster(quick, random_id(), run_folder).create("--timeout", "60")
    made.kubectl("run", POD, "--image=registry.example/app:1")
    made.kubectl("wait", f"pod/{POD}", "--for=condition=Ready", "--timeout=60s")
    return made


class Underway:
    """What is open when the host goes: a shared watch, one of Secrets, an exec, followed logs."""

    def __init__(self, tenant: TenantCluster, stack: contextlib.ExitStack) -> None:
        self.client, access = Client(tenant.kubeconfig), Access(tenant.kubeconfig)
        self.watches = {kind: Follower(access, f"{SPACE}/{kind}").start() for kind in ("configmaps", "secrets")}
        self.exec = WebSocket(self.client, exec_target("default", POD, ["cat"], stdin=True), "v5.channel.k8s.io")
        self.logs = self.client.connect()
        stack.callback(self.logs.close)
        stack.callback(self.exec.close)
        for watch in self.watches.values():
            stack.callback(watch.stop)
        self.logs.request("GET", f"{SPACE}/pods/{POD}/log?follow=true", headers=bearer(self.client))
        self.lines = self.logs.getresponse()
        assert self.lines.readline()
        assert self.lines.readline()
        self.echoed(b"before")

    def echoed(self, word: bytes) -> None:
        """Raises OSError where the tunnel is broken off."""
        self.exec.send(STDIN, word)
        answer = self.exec.receive()
        assert answer is not None
        assert answer[1] == word


def bearer(client: Client) -> dict[str, str]:
    return {"Authorization": f"Bearer {client.token}"}


class Asked(threading.Thread):
    """One request that is made while the host is away; `answer` and the seconds that it took."""

    def __init__(self, client: Client, method: str, target: str, body: Any = None) -> None:
        super().__init__(daemon=True)
        self.what = (client, method, target, body)
        self.answer: Answer | Refused | None = None
        self.took = 0.0
        self.start()

    def run(self) -> None:
        client, method, target, body = self.what
        begun = time.monotonic()
        if "/exec?" in target:
            try:
                WebSocket(client, target, "v5.channel.k8s.io", silence=60).close()
            except Refused as refused:
                self.answer = refused
        else:
            self.answer = client.call(method, target, body)
        self.took = time.monotonic() - begun

    def check(self) -> None:
        """A Status in time that says where it lies."""
        self.join(60)
        assert self.answer is not None, self.what[1:]
        assert self.answer.code in (502, 503, 504), (self.what[1:], self.answer)
        document = json.loads(self.answer.body)
        assert (document["kind"], document["code"]) == ("Status", self.answer.code)
        assert self.took < BOUND, (self.what[1:], self.took)


def asked(client: Client, round: str) -> list[Asked]:
    """One of each, at the same time."""
    return [
        Asked(client, "POST", f"{SPACE}/configmaps", {"metadata": {"name": f"meanwhile-{round}"}}),
        Asked(client, "GET", "/api/v1/configmaps"),
        Asked(client, "GET", f"{SPACE}/secrets?watch=1&timeoutSeconds=30&resourceVersion=0"),
        Asked(client, "GET", exec_target("default", POD, ["true"])),
        Asked(client, "GET", f"{SPACE}/pods/{POD}/log?follow=true"),
    ]


def write_all(client: Client, name: str) -> dict[str, int]:
    """One object of each watched kind: its version. Asked again while the host comes back."""
    found = {}
    for kind in ("configmaps", "secrets"):
        end = time.monotonic() + 60
        while (answer := client.call("POST", f"{SPACE}/{kind}", {"metadata": {"name": name}})).code != 201:
            assert answer.code in (403, 409, 429, 502, 503, 504), answer.body
            assert time.monotonic() < end
            if answer.code == 409:  # an attempt without an answer had made it
                answer = client.call("GET", f"{SPACE}/{kind}/{name}")
                if answer.code == 200:
                    break
            time.sleep(0.3)
        found[kind] = int(answer.document["metadata"]["resourceVersion"])
    return found


def heard_all(underway: Underway, written: list[dict[str, int]]) -> None:
    """Every write once and in order, unless the host had forgotten them: then it was listed, and is held."""
    for kind, watch in underway.watches.items():
        wanted = [one[kind] for one in written]
        end = time.monotonic() + 60
        while wanted[-1] not in watch.held.values():
            assert time.monotonic() < end, (kind, watch.events, watch.problems)
            time.sleep(0.1)
        assert set(wanted) <= set(watch.held.values())
        versions = [one.version for one in watch.events]
        assert sorted(set(versions)) == versions
        if watch.lists == 1:
            assert [one for one in versions if one in wanted] == wanted


def held(proxy: RunningProxy) -> tuple[int, int]:
    """Connections to the host, and threads."""
    line = next(line for line in proxy.metrics().splitlines() if line.startswith("vcproxy_host_connections "))
    return int(float(line.split()[1])), len(list(Path(f"/proc/{proxy.pid}/task").iterdir()))


def nothing_left(proxy: RunningProxy, before: tuple[int, int]) -> None:
    """Kept connections that nobody uses go after 45 seconds; those of what was under way go at once."""
    end = time.monotonic() + 15
    while any(now > then + SPARE for now, then in zip(held(proxy), before, strict=True)):
        assert time.monotonic() < end, (held(proxy), before)
        time.sleep(0.2)


def test_a_host_that_sleeps_is_waited_for_no_longer_than_said_and_nothing_is_lost(
    quick: RunningProxy, tenant: TenantCluster, control_plane: ControlPlane
) -> None:
    before = held(quick)
    with contextlib.ExitStack() as stack:
        underway = Underway(tenant, stack)
        written = [write_all(underway.client, "slept-before")]
        with asleep(control_plane):
            begun, requests = time.monotonic(), asked(underway.client, "asleep")
            for one in requests:
                one.check()
            time.sleep(max(0.0, begun + AWAY - time.monotonic()))
        written.append(write_all(underway.client, "slept-after"))
        heard_all(underway, written)
        assert all(watch.lists == 1 for watch in underway.watches.values())
        underway.echoed(b"after")
        with (control_plane.folder / "container.log").open("a") as log:
            log.write("2026-01-01T00:00:00.000000000Z stdout F late\n")
        assert underway.lines.readline() == b"late\n"
    nothing_left(quick, before)
    quick.check()


def test_a_host_that_dies_ends_what_it_carried_and_nothing_is_lost(
    quick: RunningProxy, tenant: TenantCluster, control_plane: ControlPlane
) -> None:
    before = held(quick)
    with contextlib.ExitStack() as stack:
        underway = Underway(tenant, stack)
        written = [write_all(underway.client, "died-before")]
        with asleep(control_plane):
            requests = asked(underway.client, "dying")  # all of them are under way
            time.sleep(1)
            control_plane.kill_api_server()
        try:
            for one in requests:
                one.check()
            with pytest.raises((OSError, AssertionError)):
                underway.echoed(b"lost")
            with pytest.raises((http.client.HTTPException, OSError)):
                underway.lines.read()  # half of a log must not look whole
            for one in asked(underway.client, "dead"):
                one.check()
        finally:
            control_plane.start_api_server()
        written.append(write_all(underway.client, "died-after"))
        heard_all(underway, written)
    nothing_left(quick, before)
    quick.check()
