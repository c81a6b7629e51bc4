"""A tenant's own APIs: the same definition in different versions in two tenants, and all that kubectl does with it."""

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import pytest
import yaml

from e2e.client import Client
from e2e.cluster.host import Host
from e2e.cluster.kubectl import Kubectl
from e2e.cluster.proxy import RunningProxy, TenantCluster
from e2e.scan import leaks
from vcproxy.core.discovery import AGGREGATED
from vcproxy.core.openapi import V2_PROTOBUF

GROUP: Final = "example.com"
DEFINITIONS: Final = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
AT_ONCE: Final = 1.0
"""Seconds in which discovery and OpenAPI tell of a new kind, once it is established or the host itself tells of it."""
PUBLISHED: Final = 30.0
"""Seconds in which the host has published OpenAPI of a new kind."""
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


@pytest.fixture(scope="module")
def several(tenant_factory: Callable[..., TenantCluster]) -> Iterator[Cluster]:
    """A tenant with widgets in two versions; objects are stored as v1."""
    found = Cluster(tenant_factory())
    found.define(definition([version("v1"), version("v1beta1", storage=False)]))
    yield found
    assert leaks([*found.tenant.received, *found.client.received], [found.id]) == []


def widgets(api: str, name: str = "", query: str = "") -> str:
    return f"/apis/{GROUP}/{api}/namespaces/default/widgets{'/' if name else ''}{name}{query}"


def test_what_is_made_in_one_version_is_read_in_the_other(several: Cluster) -> None:
    for made_in, read_in in (("v1beta1", "v1"), ("v1", "v1beta1")):
        name = f"made-in-{made_in}"
        made = several.client.call("POST", widgets(made_in), widget(name, made_in, size=4))
        assert (made.code, made.document["apiVersion"]) == (201, f"{GROUP}/{made_in}")
        read = several.client.call("GET", widgets(read_in, name)).document
        assert (read["apiVersion"], read["spec"]) == (f"{GROUP}/{read_in}", {"size": 4})
        listed = several.client.call("GET", widgets(read_in)).document
        assert {item["apiVersion"] for item in listed["items"]} == {f"{GROUP}/{read_in}"}
        assert name in {item["metadata"]["name"] for item in listed["items"]}


def test_server_side_apply_in_both_versions_owns_fields_in_each(several: Cluster) -> None:
    for api, manager, spec in (("v1", "one", {"size": 2}), ("v1beta1", "two", {"replicas": 5})):
        text = yaml.safe_dump(widget("shared", api, **spec))
        several.kubectl("apply", "--server-side", f"--field-manager={manager}", "-f", "-", input=text)
    found = several.client.call("GET", widgets("v1", "shared")).document
    assert found["spec"] == {"size": 2, "replicas": 5}
    owned = {one["manager"]: one["apiVersion"] for one in found["metadata"]["managedFields"]}
    assert owned == {"one": f"{GROUP}/v1", "two": f"{GROUP}/v1beta1"}
    changed = yaml.safe_dump(widget("shared", "v1beta1", size=3))
    said = several.kubectl(
        "apply", "--server-side", "--field-manager=two", "-f", "-", input=changed, check=False
    ).stderr
    assert 'conflict with "one": .spec.size' in said


def test_a_version_that_is_served_no_more_is_gone_and_the_other_stays(several: Cluster) -> None:
    path = f"{DEFINITIONS}/widgets.{GROUP}"
    several.client.call("POST", widgets("v1beta1"), widget("stays", "v1beta1", size=6))
    for served in (False, True):
        patch = [
            {"op": "test", "path": "/spec/versions/1/name", "value": "v1beta1"},
            {"op": "replace", "path": "/spec/versions/1/served", "value": served},
        ]
        answer = several.client.call("PATCH", path, patch, headers={"Content-Type": "application/json-patch+json"})
        assert answer.code == 200, answer.body
        end = time.monotonic() + AT_ONCE
        while (several.client.call("GET", widgets("v1beta1", "stays")).code == 200) is not served:
            assert time.monotonic() < end
        assert several.client.call("GET", widgets("v1", "stays")).document["spec"] == {"size": 6}
        offered = {line for line in several.said("api-versions").splitlines() if line.startswith(GROUP)}
        assert offered == {f"{GROUP}/v1"} | ({f"{GROUP}/v1beta1"} if served else set())


def test_unknown_fields_are_pruned_where_the_client_asks_for_no_check(several: Cluster) -> None:
    document = widget("pruned", size=5, other={"x": 1})
    made = several.client.call("POST", widgets("v1", query="?fieldValidation=Ignore"), {**document, "more": 1})
    assert (made.code, made.document["spec"], "more" in made.document) == (201, {"size": 5}, False)
    assert several.client.call("GET", widgets("v1", "pruned")).document["spec"] == {"size": 5}
    refused = several.client.call("POST", widgets("v1", query="?fieldValidation=Strict"), document)
    assert (refused.code, 'unknown field "spec.other"' in refused.document["message"]) == (400, True)


def discovered(client: Client) -> dict[str, bool]:
    """By document of discovery: whether it tells of sprockets."""
    groups = client.call("GET", "/apis", headers={"Accept": AGGREGATED}).body
    plain = client.call("GET", f"/apis/{GROUP}/v1")
    return {
        "aggregated": b'"sprockets"' in groups,
        "plain": plain.code == 200 and b'"sprockets"' in plain.body,
        "index of OpenAPI": f"apis/{GROUP}/v1".encode() in client.call("GET", "/openapi/v3").body,
    }


def published(client: Client, group: str) -> dict[str, bool]:
    """By form of OpenAPI: whether it tells of sprockets."""
    v3 = client.call("GET", f"/openapi/v3/apis/{group}/v1")
    found = {"v3": v3.code == 200 and b"Sprocket" in v3.body}
    for name, accept in (("v2", "application/json"), ("v2 as protobuf", V2_PROTOBUF)):
        found[name] = b"Sprocket" in client.call("GET", "/openapi/v2", headers={"Accept": accept}).body
    return found


def test_discovery_and_openapi_tell_of_a_new_kind_at_once_and_its_tenant_alone(
    tenant_factory: Callable[..., TenantCluster], host: Host
) -> None:
    first, second = Cluster(tenant_factory()), Cluster(tenant_factory())
    real = Client(host.kubeconfig, certificate=True)
    first.client.call("GET", "/openapi/v2")  # what is kept of before must not be shown any longer
    first.define(definition([version("v1")], "sprockets"))
    end = time.monotonic() + AT_ONCE
    while not all((found := discovered(first.client)).values()):
        assert time.monotonic() < end, found
    end = time.monotonic() + PUBLISHED
    while not all(published(real, f"{first.id}-{GROUP}").values()):
        assert time.monotonic() < end
    end = time.monotonic() + AT_ONCE
    while not all((found := published(first.client, GROUP)).values()):
        assert time.monotonic() < end, found
    assert not any({**discovered(second.client), **published(second.client, GROUP)}.values())


def test_definitions_that_are_made_at_once_are_no_more_than_allowed(
    tenant_factory: Callable[..., TenantCluster], proxy: RunningProxy, run_folder: Any
) -> None:
    settings = {"limits": {"definitions": 5, "drain": "2s"}, "controller": {"enabled": False}}
    few = RunningProxy(proxy.host, run_folder / "few", settings)
    few.start()
    try:
        tenant = tenant_factory()
        client = Client(TenantCluster(few, tenant.id, run_folder).write_kubeconfig(run_folder / "few.kubeconfig"))
        few.wait_known(tenant.id, client.token)
        bodies = [definition([version("v1")], f"{'abcdefghijklmnopqrst'[one]}parts") for one in range(20)]
        with ThreadPoolExecutor(20) as pool:
            answers = list(pool.map(lambda body: client.call("POST", DEFINITIONS, body), bodies))
        assert sorted(answer.code for answer in answers) == [201] * 5 + [403] * 15
        held = [item["metadata"]["name"] for item in client.call("GET", DEFINITIONS).document["items"]]
        assert len(held) == 5
        assert client.call("POST", DEFINITIONS, bodies[0]).code == 403
        assert client.call("DELETE", f"{DEFINITIONS}/{held[0]}").code == 200
        end = time.monotonic() + SETTLED
        while client.call("POST", DEFINITIONS, definition([version("v1")], "others")).code != 201:
            assert time.monotonic() < end
            time.sleep(0.2)
    finally:
        few.stop_serving()
