"""Nodes: those that a tenant may see, without what tells of others, read-only."""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest

from e2e.client import Client
from e2e.cluster.kubectl import Kubectl
from e2e.cluster.proxy import TenantCluster
from e2e.scan import leaks

POOL: Final = "example.com/pool"
NODES: Final = "/api/v1/nodes"
SOON: Final = 10.0


def until(look: Callable[[], bool]) -> None:
    end = time.monotonic() + SOON
    while not look():
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.fixture(scope="module")
def labelled(host_kubectl: Kubectl) -> Iterator[list[str]]:
    """The host's nodes by name; the first is of the pool `a`, the others of `b`."""
    names = sorted(one["metadata"]["name"] for one in host_kubectl.json("get", "nodes")["items"])
    for name in names:
        host_kubectl("label", "node", name, f"{POOL}={'a' if name == names[0] else 'b'}", "--overwrite")
    yield names
    host_kubectl("label", "node", *names, f"{POOL}-")


@pytest.fixture(scope="module")
def pair(
    tenant_factory: Callable[..., TenantCluster], host_kubectl: Kubectl, labelled: list[str]
) -> Iterator[tuple[TenantCluster, TenantCluster]]:
    """Two tenants: one sees all nodes, the other those of the pool `a`."""
    every, some = tenant_factory(), tenant_factory()
    select(host_kubectl, some, "a")
    until(lambda: names(some) == labelled[:1])
    yield every, some
    assert leaks([*every.received, *some.received], [every.id, some.id]) == []


def select(host_kubectl: Kubectl, tenant: TenantCluster, pool: str) -> None:
    patch = json.dumps({"spec": {"nodes": {"matchLabels": {POOL: pool}}}})
    host_kubectl("patch", "tenant", tenant.id, "--type=merge", "-p", patch)


def names(tenant: TenantCluster, *options: str) -> list[str]:
    found: list[dict[str, Any]] = tenant.kubectl.json("get", "nodes", *options)["items"]
    return [one["metadata"]["name"] for one in found]


def test_a_tenant_sees_the_nodes_that_its_provider_chose(
    pair: tuple[TenantCluster, TenantCluster], labelled: list[str]
) -> None:
    every, some = pair
    assert names(every) == labelled
    assert names(some) == labelled[:1]
    assert names(every, "-l", f"{POOL}=a") == labelled[:1]
    assert names(some, f"--field-selector=metadata.name={labelled[0]}") == labelled[:1]
    hidden = some.kubectl("get", "node", labelled[1], check=False)
    assert f'nodes "{labelled[1]}" not found' in hidden.stderr
    absent = some.kubectl("get", "node", "nothing", check=False)
    assert hidden.stderr.replace(labelled[1], "nothing") == absent.stderr


def test_what_clients_need_of_a_node_is_there_and_what_tells_of_others_is_not(
    pair: tuple[TenantCluster, TenantCluster], labelled: list[str]
) -> None:
    node = pair[0].kubectl.json("get", "node", labelled[0])
    status = node["status"]
    assert status["allocatable"]["cpu"]
    assert any(one["type"] == "Ready" and one["status"] == "True" for one in status["conditions"])
    assert status["nodeInfo"]["kubeletVersion"]
    assert not status.get("images")
    assert "volumesInUse" not in status
    assert "managedFields" not in pair[0].kubectl.json("get", "node", labelled[0], "--show-managed-fields")["metadata"]


def test_kubectl_prints_and_describes_them(pair: tuple[TenantCluster, TenantCluster], labelled: list[str]) -> None:
    every, some = pair
    table = every.kubectl("get", "nodes", "-o", "wide").stdout
    assert all(name in table for name in labelled)
    assert "Ready" in table
    assert labelled[1] not in some.kubectl("get", "nodes").stdout
    assert f"Name:               {labelled[0]}" in some.kubectl("describe", "node", labelled[0]).stdout
    assert "nodes" in every.kubectl("api-resources", "-o", "name").stdout.split()
    assert "FIELD: unschedulable" in every.kubectl("explain", "node.spec.unschedulable").stdout


@pytest.mark.parametrize(
    "command", [("cordon",), ("delete", "node"), ("label", "node"), ("taint", "node")], ids=lambda value: value[0]
)
def test_nobody_of_a_tenant_writes_one(
    pair: tuple[TenantCluster, TenantCluster],
    host_kubectl: Kubectl,
    labelled: list[str],
    command: tuple[str, ...],
) -> None:
    before = host_kubectl.json("get", "node", labelled[0])["metadata"]
    extra = {"label": ("x=y",), "taint": ("x=y:NoSchedule",)}.get(command[0], ())
    refused = pair[0].kubectl(*command, labelled[0], *extra, check=False)
    assert "the provider's of this cluster" in refused.stderr
    after = host_kubectl.json("get", "node", labelled[0])["metadata"]
    assert (after["uid"], after.get("labels")) == (before["uid"], before.get("labels"))


def test_the_way_to_the_kubelet_is_not_there(pair: tuple[TenantCluster, TenantCluster], labelled: list[str]) -> None:
    client = Client(pair[0].kubeconfig)
    for path in (f"{NODES}/{labelled[0]}/proxy", f"{NODES}/{labelled[0]}/proxy/pods"):
        assert client.call("GET", path).code == 404


def test_a_watch_tells_of_a_node_that_comes_into_sight_and_of_one_that_goes(
    pair: tuple[TenantCluster, TenantCluster], host_kubectl: Kubectl, labelled: list[str]
) -> None:
    client = Client(pair[1].kubeconfig)
    version = client.call("GET", NODES).document["metadata"]["resourceVersion"]
    events = client.events(f"{NODES}?watch=1&resourceVersion={version}&timeoutSeconds=30", timeout=40)
    about = (one["type"] for one in events if one["object"].get("metadata", {}).get("name") == labelled[1])
    host_kubectl("label", "node", labelled[1], f"{POOL}=a", "--overwrite")
    assert next(about) == "ADDED"
    host_kubectl("label", "node", labelled[1], f"{POOL}=b", "--overwrite")
    assert "DELETED" in about  # what its status tells in between passes
    assert leaks(client.received, [pair[1].id]) == []


def test_csinodes_and_slices_follow_their_nodes(
    pair: tuple[TenantCluster, TenantCluster], host_kubectl: Kubectl, labelled: list[str]
) -> None:
    every, some = pair
    for name in labelled:
        document = {"apiVersion": "storage.k8s.io/v1", "kind": "CSINode", "metadata": {"name": name}}
        host_kubectl("apply", "-f", "-", input=json.dumps({**document, "spec": {"drivers": []}}))
    try:
        for tenant, seen in ((every, labelled), (some, labelled[:1])):
            found = tenant.kubectl.json("get", "csinodes")["items"]
            assert [one["metadata"]["name"] for one in found] == seen
    finally:
        host_kubectl("delete", "csinodes", *labelled)
