"""Nothing is lost, doubled or out of order, however often the proxy is restarted."""

import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from e2e.clients import informers
from e2e.clients.followers import Access, Follower
from e2e.clients.informers import GoInformer, Told
from e2e.clients.writers import Pace, Writer
from e2e.cluster.control_plane import ControlPlane
from e2e.cluster.host import Host
from e2e.cluster.kubectl import Kubectl
from e2e.cluster.proxy import RunningProxy, TenantCluster, random_id

# CPython's wrap_socket leaves a socket unclosed whose peer was gone before the handshake (SSLSocket._create)
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket(?!.*raddr):ResourceWarning")
CHANGES: Final = 10_000
"""Of the first tenant; the other one has fewer."""
ALL_CHANGES: Final = 12_000
RESTARTS: Final = 20
APART: Final = 3.0
"""Seconds between two restarts, at least."""
WRITERS: Final = 4
SPACES: Final = ("default", "kube-public", "web")
SETTLED: Final = 90.0
"""Seconds in which the last change must have reached everybody: client-go waits up to 30 after refused connections."""
ALL: Final = "/api/v1/configmaps"


@pytest.fixture(scope="module")
def fragile(host: Host, run_folder: Path, proxy: RunningProxy) -> Iterator[RunningProxy]:
    """A proxy that is restarted again and again. (`proxy` installs first and is left alone.)"""
    del proxy
    running = RunningProxy(host, run_folder / "fragile", {"limits": {"drain": "3s"}})
    running.start()
    yield running
    running.stop_serving()


@pytest.fixture
def tenants(fragile: RunningProxy, run_folder: Path) -> list[TenantCluster]:
    made = [TenantCluster(fragile, random_id(), run_folder).create("--timeout", "60") for _ in range(2)]
    for tenant in made:
        tenant.kubectl("create", "namespace", "web")
    return made


def restarted(proxy: RunningProxy, number: int) -> None:
    """SIGTERM and a drain mostly, SIGKILL each fourth time."""
    if number % 4 == 3:
        proxy.kill_serving()
    else:
        assert proxy.stop_serving() == 0
    proxy.start_serving()


# All changes together are fewer than the API server's cache of watches holds (12,800 by then): where it is full
# it drops what is older than 75 seconds, and client-go stays away for up to a minute once it was refused some times.
@pytest.mark.timeout(420)
def test_ten_thousand_changes_over_twenty_restarts_arrive_once_and_in_order(
    host: Host, fragile: RunningProxy, tenants: list[TenantCluster], run_folder: Path
) -> None:
    admin = Access(host.kubeconfig)
    logs = {
        one.id: [Follower(admin, f"/api/v1/namespaces/{one.id}-{space}/configmaps") for space in SPACES]
        for one in tenants
    }
    wires = {one.id: Follower(Access(one.kubeconfig), ALL) for one in tenants}
    caches = {one.id: GoInformer(one.kubeconfig, ("configmaps",), run_folder / f"informer-{one.id}") for one in tenants}
    followers = [follower for several in logs.values() for follower in several]
    stop, writers, pace = threading.Event(), list[Writer](), Pace(ALL_CHANGES, RESTARTS, 2 * APART)
    try:
        for informer in caches.values():
            informer.process.start()
        until(lambda: all(informer.synced for informer in caches.values()), 30)
        for follower in (*followers, *wires.values()):
            follower.start()
        spaces = [f"{tenants[0].id}-{space}" for space in SPACES]
        writers += [Writer(admin, spaces, f"direct-{number}", stop, pace=pace) for number in range(WRITERS)]
        writers += [Writer(Access(one.kubeconfig), list(SPACES), "through", stop, pace=pace) for one in tenants]
        for number in range(RESTARTS):
            time.sleep(APART)
            restarted(fragile, number)
            pace.step()
        until(lambda: sum(writer.done for writer in writers[:-1]) >= CHANGES, 120)
        stop.set()
        for writer in writers:
            writer.join()
            assert writer.failed is None, writer.failed
        time.sleep(1)
        for tenant in tenants:
            compare(logs[tenant.id], wires[tenant.id], caches[tenant.id])
    finally:
        stop.set()
        for follower in (*followers, *wires.values()):
            follower.stop()
        for informer in caches.values():
            informer.process.stop()


def compare(logs: list[Follower], wire: Follower, informer: GoInformer) -> None:
    """The host's own log against what one tenant's informers were told."""
    told = sorted((one for log in logs for one in log.events), key=lambda one: one.version)
    assert all(log.lists == 1 and not log.problems for log in logs), "the host's own log has a gap"
    expected = [one for one in told if one.version > wire.start_version]
    names = {"ADDED": "add", "MODIFIED": "update", "DELETED": "delete"}
    wanted = [(names[one.type], one.uid, one.version) for one in expected]

    def of_informer() -> list[Told]:
        found = [
            (one["event"], one["uid"], int(one["resourceVersion"]))
            for one in informer.events()
            if one["namespace"] in SPACES
        ]
        return [one for one in found if one[2] > wire.start_version]

    def has_all() -> bool:
        return len(wire.events) >= len(expected) and len(of_informer()) >= len(wanted)

    until(has_all, SETTLED, strict=False)
    uids = {one.uid for one in told}
    assert [one for one in wire.events if one.uid in uids] == expected
    assert wire.problems == []
    assert wire.lists == 1
    assert wire.resumes >= RESTARTS
    compare_informer(of_informer(), wanted, informer)


def compare_informer(found: list[Told], wanted: list[Told], informer: GoInformer) -> None:
    """Every event once, in order, and no list but the first; what it went through is told where that is not so."""
    reasons, account = informers.begun_anew(informer.lines()), informer.account()
    assert not reasons, f"it had to list again: {reasons}\n{account}"
    assert len(informer.lists()) == 1, f"it had to list again\n{account}"
    difference = informers.first_difference(found, wanted)
    assert not difference, f"{difference}\n{account}"


def until(true: Any, seconds: float, *, strict: bool = True) -> None:
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            assert not strict, "it did not come in time"
            return
        time.sleep(0.2)


Ways = tuple[Callable[[ControlPlane], object], Callable[[RunningProxy], object]]
WAYS: Final[dict[str, Ways]] = {
    "in order": (ControlPlane.stop_api_server, RunningProxy.stop_serving),
    "killed": (ControlPlane.kill_api_server, RunningProxy.kill_serving),
}
"""How the host ends, and how the proxy does."""


@pytest.mark.own_host
@pytest.mark.parametrize("way", list(WAYS))
def test_kubectl_get_w_ends_with_the_proxy_as_it_does_with_a_host(
    control_plane: ControlPlane, host_kubectl: Kubectl, fragile: RunningProxy, tenants: list[TenantCluster], way: str
) -> None:
    """kubectl does not watch on by itself: it ends, and what it says names nothing of the host."""
    end_host, end_proxy = WAYS[way]
    with_host = ended(host_kubectl, lambda: end_host(control_plane))
    control_plane.start_api_server()
    with_proxy = ended(tenants[0].kubectl, lambda: end_proxy(fragile))
    fragile.start_serving()
    assert with_proxy == with_host
    assert f"{tenants[0].id}-" not in with_proxy[1]


def ended(kubectl: Kubectl, end: Callable[[], object]) -> tuple[int, str]:
    """The exit code of a `kubectl get -w` whose server ends, and what it said on its standard error."""
    until(lambda: kubectl("get", "configmaps", check=False).returncode == 0, 30)
    command = [str(kubectl.program), "get", "configmaps", "--watch", "--output=name"]
    watching = subprocess.Popen(command, env=kubectl.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert watching.stdout is not None
        assert watching.stdout.readline().startswith(b"configmap/")  # that was its list
        time.sleep(1)
        name = f"while-watching-{random_id()}"
        kubectl("create", "configmap", name)
        while watching.stdout.readline() != f"configmap/{name}\n".encode():
            pass  # the others of the list
        end()
        _, said = watching.communicate(timeout=20)
    finally:
        watching.kill()
    return watching.returncode, said.decode()
