"""Kinds of cluster scope that each tenant has its own of: classes, volumes, and what its provider lends it of these."""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest
import yaml

from e2e.client import Client
from e2e.cluster.kubectl import Kubectl
from e2e.cluster.proxy import TenantCluster
from e2e.objects import OBJECTS, Object, claim, made, volume
from e2e.scan import leaks

SOON: Final = 10.0
STORAGE: Final = "/apis/storage.k8s.io/v1/storageclasses"


class Cluster:
    """A tenant, asked by kubectl and by hand."""

    def __init__(self, tenant: TenantCluster) -> None:
        self.tenant, self.id = tenant, tenant.id
        self.kubectl = tenant.kubectl
        self.client = Client(tenant.kubeconfig)

    def apply(self, *documents: Object, server_side: bool = False) -> str:
        options = ["--server-side"] if server_side else []
        return self.kubectl("apply", *options, "-f", "-", input=yaml.safe_dump_all(documents)).stdout

    def get(self, *what: str) -> Object:
        found: Object = self.kubectl.json("get", *what)
        return found

    def names(self, resource: str, *options: str) -> list[str]:
        return [one["metadata"]["name"] for one in self.get(resource, *options)["items"]]

    def refused(self, *command: str, input: str | None = None) -> str:
        done = self.kubectl(*command, check=False, input=input)
        assert done.returncode != 0, done.stdout
        return done.stderr


def until(look: Callable[[], Any], what: str) -> Any:
    """What `look` finds, asked until it finds something."""
    end = time.monotonic() + SOON
    while not (found := look()):
        assert time.monotonic() < end, what
        time.sleep(0.1)
    return found


@pytest.fixture(scope="module")
def lent(host_kubectl: Kubectl) -> Iterator[str]:
    """A prefix of classes of the host; all of them go at the end."""
    documents = [
        made("storage.k8s.io/v1", "StorageClass", "lent-gold", provisioner="example.com/provider"),
        made("storage.k8s.io/v1", "StorageClass", "lent-other", provisioner="example.com/provider"),
        made("scheduling.k8s.io/v1", "PriorityClass", "lent-gold", value=5),
    ]
    host_kubectl("apply", "-f", "-", input=yaml.safe_dump_all(documents))
    yield "lent-gold"
    for one in documents:
        host_kubectl("delete", one["kind"].lower(), one["metadata"]["name"], "--ignore-not-found")


@pytest.fixture(scope="module")
def pair(tenant_factory: Callable[..., TenantCluster], lent: str) -> Iterator[tuple[Cluster, Cluster]]:
    """Two tenants that may write all kinds and may use one class of storage and one of priority of the host."""
    options = ("--profile", "soft", "--storage-class", lent, "--priority-class", lent)
    first, second = Cluster(tenant_factory(*options)), Cluster(tenant_factory(*options))
    yield first, second
    received = [*first.tenant.received, *second.tenant.received, *first.client.received, *second.client.received]
    assert leaks(received, [first.id, second.id]) == []


@pytest.fixture(scope="module")
def filled(pair: tuple[Cluster, Cluster]) -> tuple[Cluster, Cluster]:
    """Both have one object of each kind, under the same names."""
    for cluster in pair:
        cluster.apply(*OBJECTS.values())
    return pair


@pytest.mark.parametrize("resource", OBJECTS)
def test_each_tenant_has_its_own_under_the_same_name(filled: tuple[Cluster, Cluster], resource: str) -> None:
    name = OBJECTS[resource]["metadata"]["name"]
    found = [cluster.get(resource, name) for cluster in filled]
    assert found[0]["metadata"]["uid"] != found[1]["metadata"]["uid"]
    for cluster, one in zip(filled, found, strict=True):
        assert one["metadata"]["name"] == name
        assert "labels" not in one["metadata"]
        listed = [one for one in cluster.names(resource) if not one.startswith("lent-")]
        assert listed == [name]
        assert name in cluster.kubectl("get", resource).stdout


@pytest.mark.parametrize("resource", OBJECTS)
def test_what_is_written_again_does_not_change(filled: tuple[Cluster, Cluster], resource: str) -> None:
    cluster, document = filled[0], OBJECTS[resource]
    assert "unchanged" in cluster.apply(document)
    again = {**document, "metadata": {"name": "again.example.com"}}
    cluster.apply(again, server_side=True)
    before = cluster.get(resource, "again.example.com")
    cluster.apply(again, server_side=True)
    cluster.kubectl("replace", "-f", "-", input=yaml.safe_dump(before))
    after = cluster.get(resource, "again.example.com")
    assert after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
    cluster.kubectl("delete", resource, "again.example.com", "--wait=false")


@pytest.mark.parametrize("resource", OBJECTS)
def test_labels_are_patched_in_each_way(filled: tuple[Cluster, Cluster], resource: str) -> None:
    cluster, name = filled[0], OBJECTS[resource]["metadata"]["name"]
    cluster.kubectl("label", resource, name, "a=1")
    cluster.kubectl("annotate", resource, name, "b=2")
    patch = json.dumps([{"op": "add", "path": "/metadata/labels/c", "value": "3"}])
    cluster.kubectl("patch", resource, name, "--type=json", "-p", patch)
    found = cluster.get(resource, name)["metadata"]
    assert found["labels"] == {"a": "1", "c": "3"}
    assert found["annotations"]["b"] == "2"
    assert cluster.names(resource, "-l", "a=1,c=3") == [name]
    assert cluster.names(resource, f"--field-selector=metadata.name={name}") == [name]
    cluster.kubectl("label", resource, name, "a-", "c-")


def test_a_class_that_is_lent_stands_beside_and_is_read_only(filled: tuple[Cluster, Cluster], lent: str) -> None:
    cluster = filled[0]
    assert cluster.names("storageclasses") == ["fast", lent]
    assert cluster.get("storageclass", lent)["provisioner"] == "example.com/provider"
    assert "lent-other" not in cluster.kubectl("get", "sc").stdout
    assert cluster.names("sc", f"--field-selector=metadata.name={lent}") == [lent]
    assert "not found" in cluster.refused("get", "storageclass", "lent-other")
    assert "read only" in cluster.refused("delete", "storageclass", lent)
    assert "read only" in cluster.refused("label", "storageclass", lent, "a=1")
    again = made("storage.k8s.io/v1", "StorageClass", lent, provisioner="example.com/mine")
    assert "already exists" in cluster.refused("create", "-f", "-", input=yaml.safe_dump(again))
    chunked = cluster.client.call("GET", f"{STORAGE}?limit=1").document
    assert [one["metadata"]["name"] for one in chunked["items"]] == ["fast", lent]


def test_a_claim_names_own_and_lent_classes(filled: tuple[Cluster, Cluster], host_kubectl: Kubectl, lent: str) -> None:
    cluster = filled[0]
    stored = {
        "own": f"{cluster.id}-fast",
        "lent": lent,
        "unknown": f"{cluster.id}-nothing",
        "none": f"{cluster.id}.none",
    }
    for name, given in (("own", "fast"), ("lent", lent), ("unknown", "nothing"), ("none", "")):
        cluster.apply(claim(name, storageClassName=given))
        assert cluster.get("pvc", name)["spec"]["storageClassName"] == given
        found = host_kubectl.json("get", "pvc", "-n", f"{cluster.id}-default", name)
        assert found["spec"]["storageClassName"] == stored[name]
        cluster.kubectl("delete", "pvc", name, "--wait=false")


def test_a_claim_without_a_class_gets_the_tenants_default_and_never_the_hosts(
    pair: tuple[Cluster, Cluster], host_kubectl: Kubectl
) -> None:
    first, second = pair
    flag = {"storageclass.kubernetes.io/is-default-class": "true"}
    own = made("storage.k8s.io/v1", "StorageClass", "usual", provisioner="example.com/x")
    own["metadata"]["annotations"] = flag
    first.apply(own)
    assert first.get("storageclass", "usual")["metadata"]["annotations"].items() >= flag.items()
    assert "usual (default)" in first.kubectl("get", "sc").stdout
    foreign = made("storage.k8s.io/v1", "StorageClass", "lent-default", provisioner="example.com/provider")
    foreign["metadata"]["annotations"] = flag
    host_kubectl("apply", "-f", "-", input=yaml.safe_dump(foreign))
    try:
        until(lambda: _class_of(first, "of-default") == "usual", "the tenant's own default counts")
        assert _class_of(second, "of-none") == ""
    finally:
        host_kubectl("delete", "storageclass", "lent-default")
        first.kubectl("delete", "storageclass", "usual")


def _class_of(cluster: Cluster, name: str) -> str:
    cluster.apply(claim(name))
    try:
        return str(cluster.get("pvc", name)["spec"].get("storageClassName"))
    finally:
        cluster.kubectl("delete", "pvc", name, "--wait=false")


def test_a_global_default_priority_is_the_tenants_alone(pair: tuple[Cluster, Cluster], host_kubectl: Kubectl) -> None:
    first = pair[0]
    first.apply(made("scheduling.k8s.io/v1", "PriorityClass", "usual", value=7, globalDefault=True))
    found = first.get("priorityclass", "usual")
    assert found["globalDefault"] is True
    assert "annotations" not in found["metadata"] or all(
        "vcproxy" not in key for key in found["metadata"]["annotations"]
    )
    assert not host_kubectl.json("get", "priorityclass", f"{first.id}-usual").get("globalDefault")
    first.kubectl("delete", "priorityclass", "usual")


def test_what_controllers_make_gets_the_tenants_defaults_too(pair: tuple[Cluster, Cluster]) -> None:
    cluster = pair[0]
    usual = made("storage.k8s.io/v1", "StorageClass", "usual", provisioner="example.com/x")
    usual["metadata"]["annotations"] = {"storageclass.kubernetes.io/is-default-class": "true"}
    cluster.apply(usual, made("scheduling.k8s.io/v1", "PriorityClass", "usual", value=7, globalDefault=True))
    until(lambda: _class_of(cluster, "settled") == "usual", "the default is known")
    labels = {"app": "store"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "busybox"}]}}
    spec = {
        "selector": {"matchLabels": labels},
        "serviceName": "store",
        "template": template,
        "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": claim("data")["spec"]}],
    }
    cluster.apply(made("apps/v1", "StatefulSet", "store", spec=spec))
    try:
        until(lambda: "data-store-0" in cluster.names("pvc") and "store-0" in cluster.names("pods"), "they are made")
        assert cluster.get("pvc", "data-store-0")["spec"]["storageClassName"] == "usual"
        pod = cluster.get("pod", "store-0")["spec"]
        assert (pod["priorityClassName"], pod["priority"]) == ("usual", 7)
    finally:
        cluster.kubectl("delete", "statefulset", "store")
        cluster.kubectl("delete", "pvc", "data-store-0", "--wait=false")
        cluster.kubectl("delete", "storageclass/usual", "priorityclass/usual")


def test_an_ingress_has_the_tenants_default_class_or_none(pair: tuple[Cluster, Cluster], host_kubectl: Kubectl) -> None:
    first, second = pair
    flag = {"ingressclass.kubernetes.io/is-default-class": "true"}
    own, foreign = (
        made("networking.k8s.io/v1", "IngressClass", name, spec={"controller": "e.com/x"})
        for name in ("usual", "lent-in")
    )
    own["metadata"]["annotations"] = foreign["metadata"]["annotations"] = flag
    first.apply(own)
    host_kubectl("apply", "-f", "-", input=yaml.safe_dump(foreign))
    backend = {"service": {"name": "x", "port": {"number": 80}}}
    site = made("networking.k8s.io/v1", "Ingress", "site", spec={"defaultBackend": backend})
    try:
        for cluster, name in ((first, "usual"), (second, None)):

            def given(cluster: Cluster = cluster) -> Any:
                cluster.kubectl("delete", "ingress", "site", "--ignore-not-found")
                cluster.apply(site)
                return cluster.get("ingress", "site")["spec"].get("ingressClassName")

            until(lambda: given() == name, f"{name}")  # noqa: B023 - at once
            assert "unchanged" in cluster.apply(site)
            cluster.kubectl("delete", "ingress", "site")
    finally:
        host_kubectl("delete", "ingressclass", "lent-in")
        first.kubectl("delete", "ingressclass", "usual")


def test_a_volume_and_a_claim_of_one_tenant_find_each_other(pair: tuple[Cluster, Cluster]) -> None:
    for cluster in pair:
        cluster.apply(volume("bound", claimRef={"namespace": "default", "name": "mine"}, storageClassName=""))
        cluster.apply(claim("mine", storageClassName=""))
    for cluster in pair:
        until(lambda: cluster.get("pvc", "mine")["status"]["phase"] == "Bound", "bound")  # noqa: B023 - at once
        found = cluster.get("pv", "bound")
        assert found["spec"]["claimRef"]["namespace"] == "default"
        assert "storageClassName" not in found["spec"]
        assert cluster.get("pvc", "mine")["spec"]["volumeName"] == "bound"
        assert "default/mine" in cluster.kubectl("get", "pv").stdout
        assert "bound" in cluster.kubectl("describe", "pvc", "mine").stdout
        cluster.kubectl("delete", "pvc", "mine", "--wait=false")
        cluster.kubectl("delete", "pv", "bound", "--wait=false")


def test_a_volume_of_the_host_is_seen_by_the_tenant_of_its_claim_alone(
    pair: tuple[Cluster, Cluster], host_kubectl: Kubectl, lent: str
) -> None:
    first, second = pair
    first.apply(claim("data", storageClassName=lent))
    uid = first.get("pvc", "data")["metadata"]["uid"]
    name = f"pvc-{uid}"
    space = f"{first.id}-default"
    provided = volume(
        name,
        storageClassName=lent,
        claimRef={"namespace": space, "name": "data", "uid": uid},
        hostPath={"path": f"/data/{name}_{space}_data"},
    )
    provided["metadata"]["annotations"] = {"volume.kubernetes.io/provisioner-deletion-secret-namespace": "kube-system"}
    host_kubectl("apply", "-f", "-", input=yaml.safe_dump(provided))
    try:
        until(lambda: name in first.names("pv"), "the volume is seen")
        found = first.get("pv", name)
        assert found["spec"]["claimRef"]["namespace"] == "default"
        assert first.get("pvc", "data")["spec"]["volumeName"] == name
        few = first.client.call("GET", "/api/v1/persistentvolumes?limit=1").document["items"]
        assert [one["metadata"]["name"] for one in few] == first.names("pv")
        assert name not in second.names("pv")
        assert "not found" in second.refused("get", "pv", name)
        assert "read only" in first.refused("delete", "pv", name)
        assert "read only" in first.refused("annotate", "pv", name, "a=1")
    finally:
        first.kubectl("delete", "pvc", "data", "--wait=false")
        host_kubectl("delete", "pv", name, "--wait=false")


def test_a_watch_tells_of_own_and_lent_objects_and_of_no_others(
    pair: tuple[Cluster, Cluster], host_kubectl: Kubectl, lent: str
) -> None:
    first, second = pair
    version = first.client.call("GET", STORAGE).document["metadata"]["resourceVersion"]
    document = made("storage.k8s.io/v1", "StorageClass", "watched", provisioner="example.com/x")
    first.apply(document)
    second.apply(document)
    host_kubectl("annotate", "storageclass", lent, "seen=yes", "--overwrite")
    host_kubectl("annotate", "storageclass", "lent-other", "seen=yes", "--overwrite")
    first.kubectl("delete", "storageclass", "watched")
    query = f"?watch=1&resourceVersion={version}&timeoutSeconds=3"
    events = list(first.client.events(f"{STORAGE}{query}"))
    told = [(one["type"], one["object"]["metadata"]["name"]) for one in events if one["type"] != "BOOKMARK"]
    assert told == [("ADDED", "watched"), ("MODIFIED", lent), ("DELETED", "watched")]
    second.kubectl("delete", "storageclass", "watched")


def test_a_collection_is_deleted_without_what_is_lent(pair: tuple[Cluster, Cluster], lent: str) -> None:
    cluster = pair[1]
    cluster.kubectl("delete", "runtimeclasses", "--all")
    cluster.apply(OBJECTS["runtimeclasses"], made("node.k8s.io/v1", "RuntimeClass", "box2", handler="box"))
    assert cluster.client.call("DELETE", "/apis/node.k8s.io/v1/runtimeclasses").code == 200
    assert cluster.names("runtimeclasses") == []
    assert lent in cluster.names("priorityclasses")


BAD: Final = (
    (
        "spec.claimRef",
        volume("shared", storageClassName="lent-gold"),
    ),
    (
        "spec.extendedResourceName",
        made("resource.k8s.io/v1", "DeviceClass", "all", spec={"extendedResourceName": "example.com/gpu"}),
    ),
    (
        "tokens for a driver",
        made("storage.k8s.io/v1", "CSIDriver", "t.example.com", spec={"tokenRequests": [{"audience": "x"}]}),
    ),
    ("metadata.name: Invalid value", made("scheduling.k8s.io/v1", "PriorityClass", "Not_A_Name", value=1)),
)


@pytest.mark.parametrize(("message", "document"), BAD, ids=lambda value: value if isinstance(value, str) else "")
def test_what_would_reach_other_tenants_is_refused(
    pair: tuple[Cluster, Cluster], message: str, document: Object
) -> None:
    assert message in pair[0].refused("create", "-f", "-", input=yaml.safe_dump(document))


def test_parameters_that_name_a_namespace_name_one_of_the_tenant(
    pair: tuple[Cluster, Cluster], host_kubectl: Kubectl
) -> None:
    cluster = pair[0]
    secret = "csi.storage.k8s.io/provisioner-secret-namespace"
    parameters = {
        secret: "kube-system",
        "type": "ssd",
        "csi.storage.k8s.io/node-stage-secret-namespace": "${pvc.namespace}",
    }
    document = made(
        "storage.k8s.io/v1", "StorageClass", "secretive", provisioner="example.com/x", parameters=parameters
    )
    cluster.apply(document)
    assert cluster.get("storageclass", "secretive")["parameters"] == parameters
    stored = host_kubectl.json("get", "storageclass", f"{cluster.id}-secretive")["parameters"]
    assert stored == {**parameters, secret: f"{cluster.id}-kube-system"}
    cluster.kubectl("delete", "storageclass", "secretive")


def test_a_tenant_of_strangers_writes_no_kind_that_reaches_others(
    tenant_factory: Callable[..., TenantCluster], host_kubectl: Kubectl
) -> None:
    cluster = Cluster(tenant_factory("--profile", "hard"))
    cluster.apply(OBJECTS["csidrivers"])
    for resource in OBJECTS.keys() - {"csidrivers"}:
        text = cluster.refused("create", "-f", "-", input=yaml.safe_dump(OBJECTS[resource]))
        assert "spec.clusterKinds" in text
        assert cluster.names(resource) == []
    host_kubectl(
        "patch", "tenant", cluster.id, "--type=merge", "-p", json.dumps({"spec": {"clusterKinds": ["PriorityClass"]}})
    )
    until(lambda: cluster.kubectl("create", "priorityclass", "low", "--value=1", check=False).returncode == 0, "it may")
    assert "spec.clusterKinds" in cluster.refused("create", "-f", "-", input=yaml.safe_dump(OBJECTS["storageclasses"]))
    assert leaks(cluster.tenant.received, [cluster.id]) == []


def test_the_kinds_that_it_may_write_are_named_when_a_tenant_is_made(
    tenant_factory: Callable[..., TenantCluster],
) -> None:
    cluster = Cluster(tenant_factory("--profile", "soft", "--cluster-kind", "PriorityClass"))
    cluster.kubectl("create", "priorityclass", "low", "--value=1")
    assert "spec.clusterKinds" in cluster.refused("create", "-f", "-", input=yaml.safe_dump(OBJECTS["storageclasses"]))


def test_with_a_change_of_what_is_lent_a_watch_asks_for_a_new_list(
    tenant_factory: Callable[..., TenantCluster], host_kubectl: Kubectl, lent: str
) -> None:
    cluster = Cluster(tenant_factory("--storage-class", lent, "--cluster-kind", "StorageClass"))
    version = cluster.client.call("GET", STORAGE).document["metadata"]["resourceVersion"]
    cluster.apply(made("storage.k8s.io/v1", "StorageClass", "own", provisioner="example.com/x"))
    events = cluster.client.events(f"{STORAGE}?watch=1&resourceVersion={version}&timeoutSeconds=20", timeout=30)
    assert next(events)["type"] == "ADDED"  # it is open, with the lists as they were
    patch = {"spec": {"allowedClasses": {"storage": [lent, "lent-other"]}}}
    host_kubectl("patch", "tenant", cluster.id, "--type=merge", "-p", json.dumps(patch))
    assert [one["object"]["code"] for one in events if one["type"] == "ERROR"] == [410]
    assert cluster.names("storageclasses") == [lent, "lent-other", "own"]


def test_groups_in_references_are_the_tenants_own_or_built_in(
    pair: tuple[Cluster, Cluster], host_kubectl: Kubectl
) -> None:
    first, _ = pair
    groups = {"built-in": "apps", "named": "other-example.com"}
    for name, group in groups.items():
        reference = {"apiGroup": group, "kind": "Thing", "name": "x"}
        spec = {"controller": "e.com/x", "parameters": {**reference, "scope": "Cluster"}}
        path = {"path": "/", "pathType": "Prefix", "backend": {"resource": reference}}
        site = {"defaultBackend": {"resource": reference}, "rules": [{"http": {"paths": [path]}}]}
        wanted = made("v1", "PersistentVolumeClaim", name, spec={**claim("x")["spec"], "dataSourceRef": reference})
        kinds = {
            "ingressclass": made("networking.k8s.io/v1", "IngressClass", name, spec=spec),
            "ingress": made("networking.k8s.io/v1", "Ingress", name, spec=site),
            "pvc": wanted,
        }
        first.apply(*kinds.values())
        stored = group if name == "built-in" else f"{first.id}-{group}"
        space = ("-n", f"{first.id}-default")
        for kind in kinds:
            shown = first.get(kind, name)["spec"]
            host_name = f"{first.id}-{name}" if kind == "ingressclass" else name
            on_host = host_kubectl.json("get", kind, host_name, *space)["spec"]
            assert (groups_in(shown), groups_in(on_host)) == ({group}, {stored})
            first.kubectl("delete", kind, name, "--wait=false")


def groups_in(value: Any) -> set[str]:
    """Every apiGroup in a document."""
    if isinstance(value, list):
        return {one for inner in value for one in groups_in(inner)}
    if not isinstance(value, dict):
        return set()
    own = {value["apiGroup"]} if "apiGroup" in value else set()
    return own | {one for inner in value.values() for one in groups_in(inner)}
