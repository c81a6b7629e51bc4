"""The main job: two tenants, the same names, one API server, and neither can tell that the other exists."""

import itertools
import json
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from e2e.client import Client
from e2e.cluster.kubectl import Kubectl
from e2e.cluster.proxy import TenantCluster
from e2e.scan import leaks

Pair = tuple[TenantCluster, TenantCluster]
DEPLOYMENT = ("create", "deployment", "api", "--image=registry.example/api:1", "--replicas=2", "-n", "web")


@pytest.fixture(scope="module")
def pair(tenant_factory: Callable[[], TenantCluster]) -> Pair:
    first, second = tenant_factory(), tenant_factory()
    for tenant in (first, second):
        tenant.kubectl("create", "namespace", "web")
        tenant.kubectl(*DEPLOYMENT)
        tenant.kubectl("rollout", "status", "deployment/api", "-n", "web", "--timeout=60s")
    return first, second


def names(tenant: TenantCluster, *args: str) -> list[str]:
    listed = json.loads(tenant.kubectl("get", *args, "-o", "json").stdout)
    return sorted(f"{item['metadata'].get('namespace', '')}/{item['metadata']['name']}" for item in listed["items"])


def test_each_sees_its_own_and_only_that(pair: Pair) -> None:
    for tenant in pair:
        assert names(tenant, "deployments", "-A") == ["web/api"]
        assert len(names(tenant, "pods", "-A")) == 2
        spaces = ["/default", "/kube-node-lease", "/kube-public", "/kube-system", "/web"]
        assert names(tenant, "namespaces") == spaces
    assert not set(names(pair[0], "pods", "-A")) & set(names(pair[1], "pods", "-A"))


def test_what_one_changes_the_other_does_not_see(pair: Pair) -> None:
    first, second = pair
    first.kubectl("scale", "deployment/api", "--replicas=3", "-n", "web")
    first.kubectl("wait", "deployment/api", "-n", "web", "--for=jsonpath={.status.readyReplicas}=3", "--timeout=60s")
    assert len(names(second, "pods", "-n", "web")) == 2


def test_each_watches_its_own_events_only(pair: Pair) -> None:
    first, second = pair
    seen: list[str] = []

    def watch() -> None:
        for event in Client(second.kubeconfig).events("/api/v1/configmaps?watch=1&timeoutSeconds=30"):
            seen.append(f"{event['type']} {event['object']['metadata']['name']}")
            if seen[-1] == "ADDED of-the-second":
                return  # what came before it has been told before it

    thread = threading.Thread(target=watch)
    thread.start()
    time.sleep(1)
    first.kubectl("create", "configmap", "of-the-first", "-n", "web")
    second.kubectl("create", "configmap", "of-the-second", "-n", "web")
    thread.join(40)
    assert "ADDED of-the-second" in seen
    assert not [event for event in seen if "of-the-first" in event]


def test_each_is_refused_the_others(pair: Pair) -> None:
    first, second = pair
    for name in (f"{second.id}-web", second.id, f"{second.id}-default"):
        refused = first.kubectl("get", "namespace", name, check=False)
        assert refused.returncode == 1
        assert "not found" in refused.stderr
        assert "No resources found" in first.kubectl("get", "pods", "-n", name).stderr
    client = Client(first.kubeconfig)
    assert client.call("GET", "/api/v1/namespaces", token=Client(second.kubeconfig).token).code == 200
    own = client.call("GET", f"/api/v1/namespaces/{second.id}-web/pods/x").document
    assert own["code"] == 404


def test_equal_names_live_side_by_side_on_the_host(pair: Pair, host_kubectl: Kubectl) -> None:
    found = host_kubectl.json("get", "deployments", "-A")["items"]
    places = {item["metadata"]["namespace"] for item in found if item["metadata"]["name"] == "api"}
    assert {f"{pair[0].id}-web", f"{pair[1].id}-web"} <= places


READS = [
    "/api",
    "/apis",
    "/api/v1",
    "/apis/apps/v1",
    "/version",
    "/openapi/v2",
    "/openapi/v3",
    "/openapi/v3/apis/apps/v1",
    "/api/v1/namespaces",
    "/api/v1/namespaces/web",
    "/api/v1/pods",
    "/api/v1/events",
    "/api/v1/configmaps",
    "/api/v1/secrets",
    "/api/v1/services",
    "/api/v1/endpoints",
    "/apis/discovery.k8s.io/v1/endpointslices",
    "/apis/events.k8s.io/v1/events",
    "/apis/apps/v1/deployments",
    "/apis/apps/v1/replicasets",
    "/apis/apps/v1/namespaces/web/deployments/api",
    "/apis/apps/v1/namespaces/web/deployments/api/scale",
    "/apis/coordination.k8s.io/v1/leases",
    "/api/v1/pods?limit=1",
    "/api/v1/namespaces?limit=1",
    "/api/v1/namespaces/nope/pods/x",
    "/api/v1/namespaces/vcproxy",
    "/api/v1/namespaces/web/pods?fieldSelector=nonsense",
    "/api/v1/namespaces/web/pods?fieldSelector=spec.made.up%3Dx",
    "/api/v1/namespaces/web/pods?resourceVersion=x",
    "/api/v1/namespaces/web/pods?resourceVersion=1&resourceVersionMatch=Exact",
]
ACCEPTS = [
    "application/json",
    "application/yaml",
    "application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
    "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,application/json",
    "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io,application/json",
]
WRITES: list[tuple[str, str, Any, str]] = [
    ("POST", "/api/v1/namespaces", {"metadata": {"name": "web"}}, ""),
    ("POST", "/api/v1/namespaces/web/configmaps", {"metadata": {"name": "UPPER"}}, ""),
    ("POST", "/api/v1/namespaces/web/pods", {"metadata": {"name": "x"}, "spec": {"priorityClassName": "gold"}}, ""),
    (
        "POST",
        "/api/v1/namespaces/web/pods",
        {
            "metadata": {"name": "y"},
            "spec": {"priorityClassName": "gold", "containers": [{"name": "a", "image": "b"}]},
        },
        "",
    ),
    ("POST", "/api/v1/namespaces/web/secrets", {"metadata": {"name": "t"}, "type": "made.up/type", "data": 1}, ""),
    ("PUT", "/api/v1/namespaces/web/configmaps/nope", {"metadata": {"name": "nope"}}, ""),
    ("DELETE", "/api/v1/namespaces/web/configmaps/nope", None, ""),
    ("DELETE", "/api/v1/namespaces/default", None, ""),
    ("PATCH", "/api/v1/namespaces/web", {"metadata": {"labels": {"a": "!"}}}, "application/merge-patch+json"),
    ("PATCH", "/api/v1/namespaces/web", {"spec": {"finalizers": 1}}, "application/merge-patch+json"),
    ("PATCH", "/api/v1/namespaces/web", {"metadata": {"name": "other"}}, "application/merge-patch+json"),
    ("PUT", "/api/v1/namespaces/web/finalize", {"metadata": {"name": "other"}}, ""),
]


def test_no_byte_that_a_tenant_receives_names_the_host_or_the_other(pair: Pair) -> None:
    first, second = pair
    client = Client(first.kubeconfig)
    for target, accept in itertools.product(READS, ACCEPTS):
        client.call("GET", target, headers={"Accept": accept, "Accept-Encoding": "gzip"})
    for method, target, body, media in WRITES:
        client.call(method, target, body, headers={"Content-Type": media} if media else {})
    list(client.events("/api/v1/namespaces?watch=1&timeoutSeconds=1"))
    list(client.events("/api/v1/pods?watch=1&timeoutSeconds=1"))
    list(client.events("/api/v1/namespaces/web/events?watch=1&timeoutSeconds=1"))
    assert len(client.received) > 300
    assert leaks(client.received, (f"{first.id}-", f"tenant:{first.id}", second.id)) == []


def test_a_byte_scan_would_find_a_leak(pair: Pair) -> None:
    """The scan itself is tried: a host name in base64 inside JSON is found."""
    import base64

    hidden = base64.b64encode(json.dumps({"namespace": f"{pair[0].id}-web"}).encode())
    assert leaks([b'{"token":"' + hidden + b'"}'], [f"{pair[0].id}-"])


def test_kubectl_get_watch_shows_a_change_as_it_comes(pair: Pair) -> None:
    tenant = pair[0]
    process = tenant.kubectl.start("get", "configmaps", "-n", "web", "-w", "--request-timeout=60s")
    assert process.stdout is not None
    try:
        assert process.stdout.readline().startswith(b"NAME")  # the list is shown, the watch goes on from it
        tenant.kubectl("create", "configmap", "while-watched", "-n", "web")
        assert any(b"while-watched" in line for line in process.stdout)  # until it comes or the time is over
    finally:
        process.terminate()
        process.communicate(timeout=20)
