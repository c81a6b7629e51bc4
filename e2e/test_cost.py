"""What one tenant's requests cost the host does not grow with the number of the others."""

import json
import re
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from e2e.client import Client
from e2e.cluster.control_plane import ControlPlane
from e2e.cluster.host import BuiltHost
from e2e.cluster.kubectl import Kubectl
from e2e.cluster.proxy import RunningProxy, TenantCluster, random_id
from e2e.witness import AuditLog

FEW, MANY = 10, 1000
BATCH = 100
"""Namespaces that one kubectl makes."""


def others(first: int, last: int) -> str:
    """Namespaces of other tenants, with a ConfigMap each."""
    items = []
    for number in range(first, last):
        name, owner = f"o{number}-default", f"o{number}"
        labels = {"vcproxy.io/tenant": owner, "vcproxy.io/crowd": "yes"}
        items.append({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
        items.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "of-another", "namespace": name}})
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": items})


def crowd(kubectl: Kubectl, first: int, last: int) -> None:
    starts = range(first, last, BATCH)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda at: kubectl("create", "-f", "-", input=others(at, min(at + BATCH, last))), starts))


def received(proxy: RunningProxy) -> float:
    """Bytes that the proxy has read from the host."""
    with urllib.request.urlopen(f"{proxy.operations_url}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    return float(re.search(r"^vcproxy_host_received_bytes_total (\S+)$", text, re.MULTILINE).group(1))  # type: ignore[union-attr]


def cost(client: Client, proxy: RunningProxy, control_plane: ControlPlane, tenant: str) -> tuple[list[str], float]:
    """What one list over all namespaces asks of the host, and the fewest bytes that five of them read."""
    log = AuditLog(control_plane)
    at = log.mark()
    assert client.call("GET", "/api/v1/configmaps").code == 200
    own = [one for one in log.since(at) if one.acted_as == f"vcproxy:tenant:{tenant}"]
    asked = sorted(re.sub(r"resourceVersion=\d+", "resourceVersion=N", one.uri) for one in own)
    sizes = []
    for _ in range(5):
        before = received(proxy)
        client.call("GET", "/api/v1/configmaps")
        sizes.append(received(proxy) - before)
    return asked, min(sizes)


@pytest.fixture
def crowded(run_folder: Path) -> Iterator[BuiltHost]:
    """A host of its own: to end a thousand namespaces takes minutes, to end their host a second."""
    host = BuiltHost(run_folder / "crowded-host")
    host.start()
    try:
        yield host
    finally:
        host.stop()


def test_a_list_over_all_namespaces_costs_the_same_beside_10_and_1000_others(
    crowded: BuiltHost, run_folder: Path
) -> None:
    admin, control_plane = Kubectl(crowded.kubectl, crowded.kubeconfig), crowded.control_plane
    proxy = RunningProxy(crowded, run_folder / "crowded-proxy")
    proxy.start()
    try:
        tenant = TenantCluster(proxy, random_id(), run_folder).create()
        client = Client(tenant.kubeconfig)
        crowd(admin, 0, FEW)
        time.sleep(2)
        few, few_bytes = cost(client, proxy, control_plane, tenant.id)
        crowd(admin, FEW, MANY)
        time.sleep(2)
        many, many_bytes = cost(client, proxy, control_plane, tenant.id)
    finally:
        proxy.stop()
    assert len(few) == 4  # default, kube-system, kube-public, kube-node-lease
    assert many == few
    assert abs(many_bytes - few_bytes) <= 64  # resourceVersions have grown by a digit or two
