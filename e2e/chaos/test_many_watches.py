"""One tenant takes all the watches that it may have: the next one is refused, and others are served as before."""

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from e2e.bench import tools
from e2e.bench.measure import loading
from e2e.chaos.test_connections import descriptors
from e2e.client import Client
from e2e.cluster.host import Host
from e2e.cluster.proxy import RunningProxy, TenantCluster, random_id

WATCHES: Final = 10_000
LIMITS: Final = {"watches": WATCHES, "tenantConnections": WATCHES + 100, "drain": "2s"}
MAPS: Final = "/api/v1/namespaces/default/configmaps"
MEASURED: Final = "measured"
WINDOWS: Final = 5
REQUESTS: Final = 150
"""Of one window, one after the other."""
HARMED: Final = 2.0
"""Times what it was before: how much longer others' p99 may be."""
TOLD: Final = 250.0
"""Milliseconds of others' p99, at most, while each of the watches is told of two changes a second. That is the work of
a core and more; what must not be is that all watches are written to before anybody else has a turn (half a second)."""
FLOOR: Final = 10.0
"""Milliseconds under which a p99 says more of the machine than of the proxy."""


@pytest.fixture(scope="module")
def watched(host: Host, run_folder: Path, proxy: RunningProxy) -> Iterator[RunningProxy]:
    """A proxy of its own. (`proxy` installs first.)"""
    del proxy
    running = RunningProxy(host, run_folder / "watched", {"limits": LIMITS})
    with descriptors(2 * WATCHES):
        running.start()
        yield running
        running.stop_serving()


@pytest.fixture(scope="module")
def program() -> Path:
    """The load client of the bench."""
    return tools.build() / "load"


class Loads:
    """Commands of the load client for one tenant."""

    def __init__(self, program: Path, proxy: RunningProxy, tenant: TenantCluster, folder: Path) -> None:
        token = folder / f"{tenant.id}.token"
        token.write_text(tenant.token)
        self._program, self._url = str(program), proxy.url
        self._client = ["-ca", str(proxy.ca_file), "-token", str(token)]

    def command(self, kind: str, path: str, *flags: object) -> list[str]:
        return [self._program, kind, "-url", self._url + path, *self._client, *map(str, flags)]

    def p99(self) -> float:
        """Milliseconds: the best of several windows. What harms all is ours, what harms some is the machine's."""
        return min(self._window() for _ in range(WINDOWS))

    def _window(self) -> float:
        with loading(self.command("requests", f"{MAPS}/{MEASURED}", "-connections", 1, "-requests", REQUESTS)) as load:
            load.begin()
            return float(load.result()["p99"])


@contextlib.contextmanager
def changing(client: Client) -> Iterator[None]:
    """Two changes a second of what is watched."""
    stop = threading.Event()

    def change() -> None:
        number = 0
        while not stop.wait(0.5):
            number += 1
            body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"changing-{number}"}}
            assert client.call("POST", MAPS, body).code == 201

    thread = threading.Thread(target=change, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(30)


def refused(client: Client) -> None:
    answer = client.call("GET", f"{MAPS}?watch=1&timeoutSeconds=1")
    assert (answer.code, answer.document["reason"]) == (429, "TooManyRequests"), answer.body
    assert int(answer.headers["Retry-After"]) >= 1


@pytest.mark.timeout(240)
def test_ten_thousand_watches_of_one_tenant_harm_no_other_and_one_more_is_refused(
    watched: RunningProxy, program: Path, run_folder: Path
) -> None:
    greedy, other = (TenantCluster(watched, random_id(), run_folder).create("--timeout", "60") for _ in range(2))
    loads, others = (Loads(program, watched, tenant, run_folder) for tenant in (greedy, other))
    client = Client(greedy.kubeconfig)
    made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": MEASURED}}
    assert Client(other.kubeconfig).call("POST", MAPS, made).code == 201
    before = others.p99()
    with loading(loads.command("idle", MAPS, "-watch", "-connections", WATCHES)) as load:
        refused(client)
        during = others.p99()
        with changing(client):
            told = others.p99()
        assert client.call("GET", MAPS).code == 200
        load.begin()
        load.result()
    after = others.p99()
    assert client.call("GET", f"{MAPS}?watch=1&timeoutSeconds=1").code == 200
    figures = f"p99 before {before:.1f}, quiet {during:.1f}, with events {told:.1f}, after {after:.1f} ms"
    assert during <= HARMED * max(before, after, FLOOR), figures
    assert told <= TOLD, figures
