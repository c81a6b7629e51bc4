"""Gateway API as a service of the provider: every tenant has it under its own group, with names of its own."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from e2e.client import Client
from e2e.clients.gateways import definitions
from e2e.cluster.host import BuiltHost
from e2e.cluster.kubectl import Kubectl
from e2e.cluster.proxy import RunningProxy, TenantCluster, random_id
from e2e.scan import leaks

pytestmark = pytest.mark.own_host

GROUP: Final = "gateway.networking.k8s.io"
EXAMPLE: Final = Path(__file__).parents[1] / "config" / "gateway-api.yaml"
HIDDEN: Final = "things.example.org"
Object = dict[str, Any]


def made(kind: str, name: str, space: str = "default", **spec: Any) -> Object:
    return {
        "apiVersion": f"{GROUP}/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": space},
        "spec": spec,
    }


GATEWAY: Final = made(
    "Gateway",
    "front",
    gatewayClassName="public",
    listeners=[
        {
            "name": "https",
            "port": 443,
            "protocol": "HTTPS",
            "tls": {
                "mode": "Terminate",
                "certificateRefs": [{"group": "", "kind": "Secret", "name": "cert", "namespace": "web"}],
            },
            "allowedRoutes": {
                "namespaces": {
                    "from": "Selector",
                    "selector": {"matchLabels": {"kubernetes.io/metadata.name": "web", "team": "a"}},
                }
            },
        }
    ],
)
ROUTE: Final = made(
    "HTTPRoute",
    "site",
    "web",
    parentRefs=[{"name": "front", "namespace": "default"}],
    rules=[{"backendRefs": [{"name": "shop", "namespace": "default", "port": 80}]}],
)


class Cluster:
    """A tenant, asked by kubectl and by hand."""

    def __init__(self, tenant: TenantCluster) -> None:
        self.tenant, self.id = tenant, tenant.id
        self.kubectl = tenant.kubectl
        self.client = Client(tenant.kubeconfig)

    def apply(self, *documents: Object, options: tuple[str, ...] = ()) -> str:
        return self.kubectl("apply", *options, "-f", "-", input=yaml.safe_dump_all(documents)).stdout

    def get(self, *what: str) -> Object:
        found: Object = self.kubectl.json("get", *what)
        return found

    def refused(self, *command: str, input: str | None = None) -> str:
        done = self.kubectl(*command, check=False, input=input)
        assert done.returncode != 0, done.stdout
        return done.stderr


@pytest.fixture(scope="module")
def exporting(run_folder: Path) -> Iterator[tuple[BuiltHost, RunningProxy]]:
    """A host of its own with Gateway API's definitions and one that is not exported, and a proxy that exports them."""
    host = BuiltHost(run_folder / "exports-host")
    proxy = RunningProxy(
        host, run_folder / "exports-proxy", {"exports": yaml.safe_load(EXAMPLE.read_text())["exports"]}
    )
    try:
        host.start()
        administrator = Kubectl(host.kubectl, host.kubeconfig)
        administrator("apply", "--server-side", "-f", str(definitions()))
        administrator("apply", "-f", "-", input=yaml.safe_dump(thing()))
        administrator("wait", "--for=condition=established", "--timeout=60s", "crd", "--all")
        for name in ("public", "internal"):
            administrator("create", "-f", "-", input=yaml.safe_dump(gateway_class(name)))
        proxy.start()
        yield host, proxy
    finally:
        proxy.stop()
        host.stop()


def thing() -> Object:
    names = {"plural": "things", "singular": "thing", "kind": "Thing"}
    schema = {"openAPIV3Schema": {"type": "object"}}
    versions = [{"name": "v1", "served": True, "storage": True, "schema": schema}]
    spec = {"group": "example.org", "scope": "Namespaced", "names": names, "versions": versions}
    version = "apiextensions.k8s.io/v1"
    return {"apiVersion": version, "kind": "CustomResourceDefinition", "metadata": {"name": HIDDEN}, "spec": spec}


def gateway_class(name: str) -> Object:
    spec = {"controllerName": "example.com/provider"}
    return {"apiVersion": f"{GROUP}/v1", "kind": "GatewayClass", "metadata": {"name": name}, "spec": spec}


@pytest.fixture(scope="module")
def pair(exporting: tuple[BuiltHost, RunningProxy], run_folder: Path) -> Iterator[tuple[Cluster, Cluster]]:
    """Two tenants with the same Gateway and the same route."""
    found = [Cluster(TenantCluster(exporting[1], random_id(), run_folder).create()) for _ in range(2)]
    for cluster in found:
        cluster.kubectl("create", "namespace", "web")
        cluster.apply(GATEWAY, ROUTE)
    first, second = found
    yield first, second
    received = [*first.tenant.received, *second.tenant.received, *first.client.received, *second.client.received]
    assert leaks(received, [first.id, second.id]) == []


@pytest.fixture
def host_kubectl(exporting: tuple[BuiltHost, RunningProxy]) -> Kubectl:
    return Kubectl(exporting[0].kubectl, exporting[0].kubeconfig)


def test_each_tenant_has_its_own_objects_with_the_names_that_it_wrote(
    pair: tuple[Cluster, Cluster], host_kubectl: Kubectl
) -> None:
    for cluster in pair:
        assert cluster.get("gateway", "front")["spec"] == GATEWAY["spec"]
        routes = cluster.get("httproutes", "-A")["items"]
        assert [(one["metadata"]["namespace"], one["metadata"]["name"]) for one in routes] == [("web", "site")]
        assert routes[0]["spec"]["parentRefs"][0]["namespace"] == "default"
        stored = host_kubectl.json("get", "httproute", "-n", f"{cluster.id}-web", "site")["spec"]
        assert stored["parentRefs"][0]["namespace"] == f"{cluster.id}-default"
        listener = host_kubectl.json("get", "gateway", "-n", f"{cluster.id}-default", "front")["spec"]["listeners"][0]
        assert listener["tls"]["certificateRefs"][0]["namespace"] == f"{cluster.id}-web"
        chosen = listener["allowedRoutes"]["namespaces"]["selector"]["matchLabels"]
        assert chosen == {
            "kubernetes.io/metadata.name": f"{cluster.id}-web",
            "team": "a",
            "vcproxy.io/tenant": cluster.id,
        }


def test_discovery_explain_and_tables_show_them_and_nothing_that_is_not_exported(
    pair: tuple[Cluster, Cluster],
) -> None:
    cluster = pair[0]
    resources = cluster.kubectl("api-resources", f"--api-group={GROUP}", "-o", "name").stdout.split()
    assert f"gateways.{GROUP}" in resources
    assert f"gatewayclasses.{GROUP}" in resources
    verbs = cluster.kubectl("api-resources", f"--api-group={GROUP}", "-o", "wide", "--no-headers").stdout
    assert "create" not in next(line for line in verbs.splitlines() if line.startswith("gatewayclasses"))
    assert "parentRefs" in cluster.kubectl("explain", "httproute.spec").stdout
    assert "front" in cluster.kubectl("get", "gateways").stdout
    assert "things" not in cluster.kubectl("api-resources", "-o", "name").stdout
    assert "doesn't have a resource type" in cluster.refused("get", "things")
    assert cluster.get("crd")["items"] == []
    for path in ("/openapi/v2", f"/openapi/v3/apis/{GROUP}/v1"):
        assert "HTTPRoute" in cluster.client.call("GET", path).body.decode()


def test_an_apply_again_changes_nothing_and_patches_are_rewritten(
    pair: tuple[Cluster, Cluster], host_kubectl: Kubectl
) -> None:
    cluster = pair[0]
    assert cluster.apply(GATEWAY).strip().endswith("unchanged")
    other = {**ROUTE, "metadata": {"name": "other", "namespace": "web"}}
    cluster.apply(other, options=("--server-side",))
    before = cluster.get("httproute", "-n", "web", "other")["metadata"]["resourceVersion"]
    cluster.apply(other, options=("--server-side",))
    assert cluster.get("httproute", "-n", "web", "other")["metadata"]["resourceVersion"] == before
    merge = {"spec": {"parentRefs": [{"name": "front", "namespace": "web"}]}}
    cluster.kubectl("patch", "httproute", "-n", "web", "other", "--type=merge", "-p", json.dumps(merge))
    one = [{"op": "replace", "path": "/spec/parentRefs/0/namespace", "value": "default"}]
    cluster.kubectl("patch", "httproute", "-n", "web", "other", "--type=json", "-p", json.dumps(one))
    stored = host_kubectl.json("get", "httproute", "-n", f"{cluster.id}-web", "other")
    assert stored["spec"]["parentRefs"][0]["namespace"] == f"{cluster.id}-default"
    cluster.kubectl("delete", "httproute", "-n", "web", "other")


def test_status_that_the_providers_controller_writes_names_the_tenants_namespaces(
    pair: tuple[Cluster, Cluster], host_kubectl: Kubectl
) -> None:
    cluster = pair[0]
    space = f"{cluster.id}-web"
    parent = {
        "parentRef": {"name": "front", "namespace": f"{cluster.id}-default"},
        "controllerName": "example.com/provider",
        "conditions": [
            {
                "type": "Accepted",
                "status": "True",
                "reason": "Accepted",
                "message": f"route {space}/site is attached",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }
        ],
    }
    patch = json.dumps({"status": {"parents": [parent]}})
    host_kubectl("patch", "httproute", "-n", space, "site", "--subresource=status", "--type=merge", "-p", patch)
    found = cluster.get("httproute", "-n", "web", "site")["status"]["parents"][0]
    assert found["parentRef"]["namespace"] == "default"
    assert found["conditions"][0]["message"] == "route web/site is attached"


def test_the_classes_that_are_named_are_seen_and_only_read(pair: tuple[Cluster, Cluster]) -> None:
    cluster = pair[0]
    assert [one["metadata"]["name"] for one in cluster.get("gatewayclasses")["items"]] == ["public"]
    assert "not found" in cluster.refused("get", "gatewayclass", "internal")
    assert "MethodNotAllowed" in cluster.refused("delete", "gatewayclass", "public")
    assert "MethodNotAllowed" in cluster.refused("create", "-f", "-", input=yaml.safe_dump(gateway_class("own")))
    sneaky = {**GATEWAY, "metadata": {"name": "sneaky"}, "spec": {**GATEWAY["spec"], "gatewayClassName": "internal"}}
    cluster.apply(sneaky)
    assert cluster.get("gateway", "sneaky")["spec"]["gatewayClassName"] == "internal"
    cluster.kubectl("delete", "gateway", "sneaky")


def test_a_class_that_is_not_named_is_not_reached(pair: tuple[Cluster, Cluster], host_kubectl: Kubectl) -> None:
    cluster = pair[1]
    document = {**GATEWAY, "metadata": {"name": "sneaky"}, "spec": {**GATEWAY["spec"], "gatewayClassName": "internal"}}
    cluster.apply(document)
    stored = host_kubectl.json("get", "gateway", "-n", f"{cluster.id}-default", "sneaky")
    assert stored["spec"]["gatewayClassName"] == f"{cluster.id}-internal"
    cluster.kubectl("delete", "gateway", "sneaky")


def test_watches_tell_each_tenant_of_its_own(pair: tuple[Cluster, Cluster]) -> None:
    first, second = pair
    path = f"/apis/{GROUP}/v1/gateways"
    version = first.client.call("GET", path).document["metadata"]["resourceVersion"]
    for cluster in pair:
        cluster.kubectl("label", "gateway", "front", "a=b", "--overwrite")
    second.kubectl("label", "gateway", "front", "a-")
    events = list(first.client.events(f"{path}?watch=1&resourceVersion={version}&timeoutSeconds=3"))
    told = [one for one in events if one["type"] != "BOOKMARK"]
    assert [(one["type"], one["object"]["metadata"]["labels"]) for one in told] == [("MODIFIED", {"a": "b"})]


def test_no_tenant_defines_a_kind_in_the_exported_group(pair: tuple[Cluster, Cluster]) -> None:
    document = thing()
    document["metadata"]["name"] = f"things.{GROUP}"
    document["spec"]["group"] = GROUP
    assert "one of this cluster's own" in pair[0].refused("create", "-f", "-", input=yaml.safe_dump(document))


def test_the_second_wall_stands_behind(pair: tuple[Cluster, Cluster], host_kubectl: Kubectl) -> None:
    first, second = pair
    identity = (f"--as=vcproxy:tenant:{first.id}", "--as-group=vcproxy:tenants")
    allowed = host_kubectl("get", "gateways", "-n", f"{first.id}-default", *identity, check=False)
    assert allowed.returncode == 0, allowed.stderr
    for command in (
        ("get", "gateways", "-A"),
        ("get", "gateways", "-n", f"{second.id}-default"),
        ("get", "things.example.org", "-n", f"{first.id}-default"),
        ("delete", "gatewayclass", "public"),
    ):
        refused = host_kubectl(*command, *identity, check=False)
        assert "Forbidden" in refused.stderr, (command, refused.stdout)


def test_a_namespace_with_them_goes_whole(pair: tuple[Cluster, Cluster], host_kubectl: Kubectl) -> None:
    cluster = pair[1]
    cluster.kubectl("create", "namespace", "gone")
    cluster.apply({**ROUTE, "metadata": {"name": "site", "namespace": "gone"}})
    cluster.kubectl("delete", "namespace", "gone", "--timeout=60s")
    until(lambda: not host_kubectl("get", "ns", f"{cluster.id}-gone", "--ignore-not-found").stdout)


def until(look: Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < end
        time.sleep(0.2)
