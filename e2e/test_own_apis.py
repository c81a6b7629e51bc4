"""A tenant's own APIs: the same definition in different versions in two tenants, and all that kubectl does with it."""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest
import yaml

from e2e.client import Client
from e2e.cluster.kubectl import Kubectl
from e2e.cluster.proxy import TenantCluster
from e2e.scan import leaks

GROUP: Final = "example.com"
SETTLED: Final = 60.0
"""Seconds in which the host's garbage collector has heard of a kind that is new."""


def definition(versions: list[dict[str, Any]], plural: str = "widgets", scope: str = "Namespaced") -> dict[str, Any]:
    kind = plural[:-1].capitalize()
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": scope,
            "names": {"plural": plural, "singular": plural[:-1], "kind": kind},
            "versions": versions,
        },
    }


def version(name: str, most: int = 10, *, storage: bool = True) -> dict[str, Any]:
    size = {"type": "integer", "default": 3, "maximum": most, "description": f"At most {most}."}
    spec = {
        "type": "object",
        "properties": {"size": size, "replicas": {"type": "integer"}},
        "x-kubernetes-validations": [{"rule": "!has(self.size) || self.size != 7", "message": "seven is taken"}],
    }
    status = {"type": "object", "properties": {"replicas": {"type": "integer"}}}
    return {
        "name": name,
        "served": True,
        "storage": storage,
        "subresources": {
            "status": {},
            "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"},
        },
        "additionalPrinterColumns": [{"name": "Size", "type": "integer", "jsonPath": ".spec.size"}],
        "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec, "status": status}}},
    }


class Cluster:
    """A tenant with definitions."""

    def __init__(self, tenant: TenantCluster) -> None:
        self.tenant, self.id = tenant, tenant.id
        self.kubectl = tenant.kubectl
        self.client = Client(tenant.kubeconfig)

    def apply(self, *documents: dict[str, Any], check: bool = True) -> str:
        done = self.kubectl("apply", "-f", "-", input=yaml.safe_dump_all(documents), check=check)
        return done.stdout + done.stderr

    def define(self, *documents: dict[str, Any]) -> None:
        self.apply(*documents)
        names = [f"crd/{one['metadata']['name']}" for one in documents]
        self.kubectl("wait", "--for=condition=established", "--timeout=30s", *names)

    def said(self, *command: str) -> str:
        return self.kubectl(*command).stdout

    def refused(self, *command: str) -> str:
        done = self.kubectl(*command, check=False)
        assert done.returncode != 0, done.stdout
        return done.stderr


def widget(name: str, api: str = "v1", **spec: Any) -> dict[str, Any]:
    return {"apiVersion": f"{GROUP}/{api}", "kind": "Widget", "metadata": {"name": name}, "spec": spec}


@pytest.fixture(scope="module")
def pair(tenant_factory: Callable[..., TenantCluster]) -> Iterator[tuple[Cluster, Cluster]]:
    """Two tenants: widgets in v1 and gadgets of cluster scope in the first, widgets in v2 alone in the second."""
    first, second = Cluster(tenant_factory()), Cluster(tenant_factory())
    first.define(definition([version("v1"), version("v1beta1", storage=False)]))
    first.define(definition([version("v1")], "gadgets", "Cluster"))
    second.define(definition([version("v2", 99)]))
    yield first, second
    received = [*first.tenant.received, *second.tenant.received, *first.client.received, *second.client.received]
    assert leaks(received, [first.id, second.id]) == []


def test_over_all_namespaces_they_are_listed_in_chunks_and_watched(pair: tuple[Cluster, Cluster]) -> None:
    cluster, path = pair[0], f"/apis/{GROUP}/v1/widgets"
    spaces = ("many-a", "many-b")
    for space in spaces:
        cluster.said("create", "namespace", space)
        cluster.tenant.kubectl("apply", "-n", space, "-f", "-", input=yaml.safe_dump_all([widget("a"), widget("b")]))
    first = cluster.client.call("GET", f"{path}?limit=3").document
    token = first["metadata"]["continue"]
    rest = cluster.client.call("GET", f"{path}?limit=3&continue={token}").document
    found = [(one["metadata"]["namespace"], one["metadata"]["name"]) for one in (*first["items"], *rest["items"])]
    assert [one for one in found if one[0] in spaces] == [(space, name) for space in spaces for name in ("a", "b")]
    version = first["metadata"]["resourceVersion"]
    cluster.said("label", "widget", "b", "-n", "many-b", "x=y")
    cluster.said("delete", "namespace", *spaces)
    events = cluster.client.events(f"{path}?watch=1&resourceVersion={version}&timeoutSeconds=5")
    told = [(one["type"], one["object"]["metadata"]["namespace"], one["object"]["metadata"]["name"]) for one in events]
    assert told[0] == ("MODIFIED", "many-b", "b")
    gone = {(space, name) for kind, space, name in told if kind == "DELETED"}
    assert gone == {(space, name) for space in spaces for name in ("a", "b")}


def test_each_tenant_sees_its_own_definition_and_no_other(pair: tuple[Cluster, Cluster]) -> None:
    first, second = pair
    assert sorted(first.said("get", "crd", "-o", "name").split()) == [
        f"customresourcedefinition.apiextensions.k8s.io/{name}.{GROUP}" for name in ("gadgets", "widgets")
    ]
    assert f"gadgets.{GROUP}" not in second.said("get", "crd")
    for cluster, versions in ((first, {"v1", "v1beta1"}), (second, {"v2"})):
        found = {line for line in cluster.said("api-versions").splitlines() if line.startswith(GROUP)}
        assert found == {f"{GROUP}/{name}" for name in versions}
        assert "widgets" in cluster.said("api-resources", f"--api-group={GROUP}")


def test_custom_resources_have_defaults_rules_columns_status_and_scale(pair: tuple[Cluster, Cluster]) -> None:
    first, second = pair
    first.apply(widget("one"))
    second.apply(widget("one", "v2", size=50))
    assert first.said("get", "widget", "one", "-o", "jsonpath={.spec.size}") == "3"
    assert second.said("get", "widget", "one", "-o", "jsonpath={.apiVersion} {.spec.size}") == f"{GROUP}/v2 50"
    assert "seven is taken" in first.apply(widget("bad", size=7), check=False)
    assert "less than or equal to 10" in first.apply(widget("bad", size=70), check=False)
    assert "unknown field" in first.apply(widget("bad", other=1), check=False)
    assert first.said("get", "widgets", "-A").split() == ["NAMESPACE", "NAME", "SIZE", "default", "one", "3"]
    first.kubectl("scale", "widget/one", "--replicas=4")
    assert first.said("get", "widget", "one", "-o", "jsonpath={.spec.replicas}") == "4"
    first.kubectl("patch", "widget", "one", "--subresource=status", "--type=merge", "-p", '{"status":{"replicas":4}}')
    assert first.said("get", "widget", "one", "-o", "jsonpath={.status.replicas}") == "4"
    older = first.said("get", f"widgets.v1beta1.{GROUP}", "one", "-o", "jsonpath={.apiVersion}")
    assert older == f"{GROUP}/v1beta1"


def test_patches_and_server_side_apply_keep_the_tenants_group(pair: tuple[Cluster, Cluster]) -> None:
    first, _ = pair
    for _ in range(2):
        text = yaml.safe_dump(widget("applied", size=2))
        first.kubectl("apply", "--server-side", "-f", "-", input=text)
    found = json.loads(first.said("get", "widget", "applied", "-o", "json", "--show-managed-fields"))
    assert {entry["apiVersion"] for entry in found["metadata"]["managedFields"]} == {f"{GROUP}/v1"}
    assert found["metadata"]["generation"] == 1
    first.kubectl("patch", "widget", "applied", "--type=json", "-p", '[{"op":"replace","path":"/spec/size","value":4}]')
    first.kubectl("patch", "widget", "applied", "--type=merge", "-p", '{"spec":{"replicas":2}}')
    assert "not supported" in first.refused("patch", "widget", "applied", "--type=strategic", "-p", '{"spec":{}}')
    shown = first.said("get", "widget", "applied", "-o", "yaml")
    first.kubectl("replace", "-f", "-", input=shown)


def test_kinds_of_cluster_scope_keep_their_names_and_stay_with_their_tenant(
    pair: tuple[Cluster, Cluster], host_kubectl: Kubectl
) -> None:
    first, second = pair
    first.apply({"apiVersion": f"{GROUP}/v1", "kind": "Gadget", "metadata": {"name": "main"}})
    assert first.said("get", "gadgets", "-o", "name").strip() == f"gadget.{GROUP}/main"
    assert host_kubectl("get", f"gadgets.{first.id}-{GROUP}", "-o", "name").stdout.strip().endswith("/main")
    second.define(definition([version("v1")], "gadgets", "Cluster"))
    assert second.said("get", "gadgets", "-o", "name") == ""
    assert 'gadgets.example.com "main" not found' in second.refused("get", "gadget", "main")


def test_explain_and_openapi_know_a_new_kind(pair: tuple[Cluster, Cluster]) -> None:
    first, second = pair
    assert "At most 10." in first.said("explain", "widget.spec.size")
    assert "At most 99." in second.said("explain", "widget.spec.size")
    index = first.client.call("GET", "/openapi/v3").document["paths"]
    assert f"apis/{GROUP}/v1" in index
    document = first.client.call("GET", index[f"apis/{GROUP}/v1"]["serverRelativeURL"]).document
    assert f"/apis/{GROUP}/v1/namespaces/{{namespace}}/widgets" in document["paths"]


def test_a_watch_tells_of_custom_resources_in_all_namespaces(pair: tuple[Cluster, Cluster]) -> None:
    first, _ = pair
    first.kubectl("create", "namespace", "watched")
    listed = first.client.call("GET", f"/apis/{GROUP}/v1/widgets").document
    assert {item["apiVersion"] for item in listed["items"]} <= {f"{GROUP}/v1"}
    first.kubectl("create", "-n", "watched", "-f", "-", input=yaml.safe_dump(widget("seen")))
    since = listed["metadata"]["resourceVersion"]
    target = f"/apis/{GROUP}/v1/widgets?watch=1&resourceVersion={since}&timeoutSeconds=2"
    events = [json.loads(line) for line in first.client.call("GET", target).body.splitlines()]
    added = [one["object"] for one in events if one["type"] == "ADDED"]
    assert [(one["metadata"]["namespace"], one["apiVersion"]) for one in added] == [("watched", f"{GROUP}/v1")]


def test_owners_among_custom_resources_are_collected(pair: tuple[Cluster, Cluster]) -> None:
    first, _ = pair
    first.apply(widget("owner"))
    uid = first.said("get", "widget", "owner", "-o", "jsonpath={.metadata.uid}")
    owner = {"apiVersion": f"{GROUP}/v1", "kind": "Widget", "name": "owner", "uid": uid}
    metadata = {"name": "owned", "ownerReferences": [owner]}
    first.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})
    found = json.loads(first.said("get", "configmap", "owned", "-o", "json"))
    assert found["metadata"]["ownerReferences"] == [owner]
    first.kubectl("delete", "widget", "owner")
    end = time.monotonic() + SETTLED
    while first.kubectl("get", "configmap", "owned", check=False).returncode == 0:
        assert time.monotonic() < end
        time.sleep(0.5)


@pytest.mark.parametrize("group", ["apps", "networking.k8s.io", "rbac.authorization.k8s.io", "vcproxy.io"])
def test_a_group_of_the_cluster_itself_is_refused(pair: tuple[Cluster, Cluster], group: str) -> None:
    first, _ = pair
    document = definition([version("v1")])
    document["spec"]["group"] = group
    document["metadata"]["name"] = f"widgets.{group}"
    assert "one of this cluster's own" in first.apply(document, check=False)


def test_a_group_of_another_tenant_on_the_host_is_only_a_name(pair: tuple[Cluster, Cluster]) -> None:
    first, second = pair
    group = f"{second.id}-{GROUP}"
    answer = first.client.call("GET", f"/apis/{group}/v2/namespaces/default/widgets")
    assert answer.code == 404
    assert first.client.call("GET", f"/apis/{first.id}-{GROUP}/v1/widgets").code == 404


def test_a_conversion_webhook_is_refused_with_what_to_do(pair: tuple[Cluster, Cluster]) -> None:
    first, _ = pair
    document = definition([version("v1")], "things")
    client = {"service": {"namespace": "default", "name": "hook"}}
    document["spec"]["conversion"] = {
        "strategy": "Webhook",
        "webhook": {"clientConfig": client, "conversionReviewVersions": ["v1"]},
    }
    assert "conversion webhooks are not supported" in first.apply(document, check=False)


def test_deleting_a_definition_deletes_its_objects_and_discovery(
    pair: tuple[Cluster, Cluster], host_kubectl: Kubectl
) -> None:
    first, second = pair
    first.define(definition([version("v1")], "shorts"))
    document = {"apiVersion": f"{GROUP}/v1", "kind": "Short", "metadata": {"name": "x", "finalizers": ["a.b/c"]}}
    first.apply(document)
    first.kubectl("patch", "short", "x", "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
    first.kubectl("delete", "crd", f"shorts.{GROUP}", "--timeout=60s")
    assert "shorts" not in first.said("api-resources", f"--api-group={GROUP}")
    assert "doesn't have a resource type" in first.refused("get", "shorts")
    assert f"widgets.{GROUP}" in second.said("get", "crd")
    assert f"shorts.{first.id}-{GROUP}" not in host_kubectl("get", "crd").stdout


def test_a_tenant_goes_with_its_definitions_and_rights(
    tenant_factory: Callable[..., TenantCluster], host_kubectl: Kubectl
) -> None:
    cluster = Cluster(tenant_factory())
    cluster.define(definition([version("v1")]))
    held = widget("held")
    held["metadata"]["finalizers"] = ["nobody.example.com/here"]
    cluster.apply(held)
    assert host_kubectl("get", "clusterrole", f"vcproxy:apis:{cluster.id}", "-o", "name").stdout
    cluster.tenant.delete()
    left = host_kubectl("get", "crd,clusterroles,clusterrolebindings", "-o", "name").stdout
    assert cluster.id not in left


def unserved(definition: dict[str, Any]) -> dict[str, Any]:
    """A definition of which no version is served any more."""
    versions = [{**one, "served": False} for one in definition["spec"]["versions"]]
    return {**definition, "spec": {**definition["spec"], "versions": versions}}


def narrowed(definition: dict[str, Any]) -> dict[str, Any]:
    """A definition that takes no object any more, not as it stands either: the rule looks at the object as a whole."""
    rule = {"x-kubernetes-validations": [{"rule": "!has(self.spec)", "message": "no more of these"}]}
    versions = [
        {**one, "schema": {"openAPIV3Schema": {**one["schema"]["openAPIV3Schema"], **rule}}}
        for one in definition["spec"]["versions"]
    ]
    return {**definition, "spec": {**definition["spec"], "versions": versions}}


@pytest.mark.parametrize("closed", [unserved, narrowed])
@pytest.mark.parametrize("scope", ["Namespaced", "Cluster"])
def test_a_tenant_goes_whose_definitions_let_nobody_write_their_objects(
    tenant_factory: Callable[..., TenantCluster],
    host_kubectl: Kubectl,
    closed: Callable[[dict[str, Any]], dict[str, Any]],
    scope: str,
) -> None:
    cluster = Cluster(tenant_factory())
    document = definition([version("v1"), version("v1beta1", storage=False)], scope=scope)
    cluster.define(document)
    held = widget("held", size=2)
    held["metadata"]["finalizers"] = ["nobody.example.com/here"]
    cluster.apply(held)
    cluster.apply(closed(document))
    cluster.tenant.delete()
    assert cluster.id not in host_kubectl("get", "crd", "-o", "name").stdout
