"""What a tenant's API server does, verb by verb, as a plain one does it."""

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from e2e.client import Client
from e2e.cluster.kubectl import Kubectl
from e2e.cluster.proxy import TenantCluster

MERGE = {"Content-Type": "application/merge-patch+json"}
STRATEGIC = {"Content-Type": "application/strategic-merge-patch+json"}
JSON_PATCH = {"Content-Type": "application/json-patch+json"}
APPLY = {"Content-Type": "application/apply-patch+yaml"}
MAPS = "/api/v1/namespaces/default/configmaps"
NAMESPACES = "/api/v1/namespaces"
POLICIES = "/apis/networking.k8s.io/v1/namespaces/default/networkpolicies"


@pytest.fixture(scope="module")
def tenant(tenant_factory: Callable[..., TenantCluster]) -> TenantCluster:
    return tenant_factory("--priority-class", "system-cluster-critical", "--storage-class", "fast")


@pytest.fixture(scope="module")
def client(tenant: TenantCluster) -> Client:
    return Client(tenant.kubeconfig)


def made(client: Client, target: str, body: Any) -> Any:
    answer = client.call("POST", target, body)
    assert answer.code == 201, answer.body
    return answer.document


def put_back(client: Client, target: str) -> int:
    """The code of a PUT of what a GET just showed; again where a controller was faster."""
    for _ in range(10):
        code = client.call("PUT", target, client.call("GET", target).document).code
        if code != 409:
            break
    return code


def test_an_object_is_made_read_changed_and_removed(client: Client) -> None:
    document = made(client, MAPS, {"metadata": {"name": "one"}, "data": {"a": "1"}})
    assert document["metadata"]["namespace"] == "default"
    document["data"]["a"] = "2"
    assert client.call("PUT", f"{MAPS}/one", document).document["data"] == {"a": "2"}
    stale = client.call("PUT", f"{MAPS}/one", document)
    assert (stale.code, stale.document["reason"]) == (409, "Conflict")
    assert client.call("DELETE", f"{MAPS}/one", {"preconditions": {"uid": "other"}}).code == 409
    assert client.call("DELETE", f"{MAPS}/one").code == 200
    assert client.call("GET", f"{MAPS}/one").code == 404


@pytest.mark.parametrize(
    ("headers", "patch", "expected"),
    [
        (MERGE, {"data": {"b": "2"}}, {"a": "1", "b": "2"}),
        (STRATEGIC, {"data": {"$patch": "replace", "c": "3"}}, {"c": "3"}),
        (JSON_PATCH, [{"op": "replace", "path": "/data/a", "value": "9"}], {"a": "9"}),
        (
            APPLY,
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "p"}, "data": {"d": "4"}},
            {"a": "1", "d": "4"},
        ),
    ],
)
def test_all_four_patch_types(client: Client, headers: dict[str, str], patch: Any, expected: Any) -> None:
    client.call("DELETE", f"{MAPS}/p")
    made(client, MAPS, {"metadata": {"name": "p"}, "data": {"a": "1"}})
    query = "?fieldManager=test&force=true" if headers is APPLY else ""
    answer = client.call("PATCH", f"{MAPS}/p{query}", patch, headers=headers)
    assert (answer.code, answer.document["data"]) == (200, expected)


def test_a_second_apply_changes_nothing_and_managed_fields_are_clean(client: Client, tenant: TenantCluster) -> None:
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "applied", "labels": {"team": "a"}}}
    target = f"{NAMESPACES}/applied?fieldManager=test&force=true"
    first, second = (client.call("PATCH", target, body, headers=APPLY) for _ in range(2))
    assert (first.code, second.code) == (201, 200)
    assert first.document["metadata"]["resourceVersion"] == second.document["metadata"]["resourceVersion"]
    managers = {entry["manager"] for entry in second.document["metadata"]["managedFields"]}
    assert "test" in managers
    assert b"vcproxy" not in second.body
    assert tenant.id.encode() + b"-" not in second.body


@pytest.mark.parametrize(
    ("headers", "patch", "labels"),
    [
        (MERGE, {"metadata": {"labels": None}}, {}),
        (STRATEGIC, {"metadata": {"labels": {"$patch": "replace", "q": "1"}}}, {"q": "1"}),
        (JSON_PATCH, [{"op": "replace", "path": "/metadata/labels", "value": {"z": "1"}}], {"z": "1"}),
        (JSON_PATCH, [{"op": "add", "path": "/metadata/labels/n", "value": "1"}], {"team": "a", "n": "1"}),
        (
            JSON_PATCH,
            [{"op": "copy", "from": "/metadata/name", "path": "/metadata/labels/c"}],
            {"team": "a", "c": "patched"},
        ),
    ],
)
def test_patches_over_hidden_labels_act_on_the_view(
    client: Client, headers: dict[str, str], patch: Any, labels: Any
) -> None:
    body = {"metadata": {"name": "patched", "labels": {"team": "a"}}}
    client.call("POST", NAMESPACES, body)
    client.call(
        "PATCH",
        f"{NAMESPACES}/patched",
        {"metadata": {"labels": {"team": "a", "q": None, "z": None, "n": None, "c": None}}},
        headers=MERGE,
    )
    answer = client.call("PATCH", f"{NAMESPACES}/patched", patch, headers=headers)
    assert answer.code == 200, answer.body
    assert answer.document["metadata"]["labels"] == {"kubernetes.io/metadata.name": "patched", **labels}
    assert client.call("GET", f"{NAMESPACES}/patched").code == 200


def test_a_view_can_be_put_back(client: Client) -> None:
    view = client.call("GET", f"{NAMESPACES}/kube-public").document
    view["metadata"].setdefault("annotations", {})["note"] = "x"
    assert client.call("PUT", f"{NAMESPACES}/kube-public", view).code == 200


def test_namespace_selectors_stay_inside(client: Client, host_kubectl: Kubectl, tenant: TenantCluster) -> None:
    peers = [{"namespaceSelector": {}}, {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "web"}}}]
    spec = {"podSelector": {}, "ingress": [{"from": peers}]}
    document = made(client, POLICIES, {"metadata": {"name": "peers"}, "spec": spec})
    assert document["spec"]["ingress"] == [{"from": peers}]
    patch = [{"op": "replace", "path": "/spec/ingress/0/from/1/namespaceSelector/matchLabels", "value": {}}]
    assert client.call("PATCH", f"{POLICIES}/peers", patch, headers=JSON_PATCH).code == 200
    stored = host_kubectl.json("get", "networkpolicy", "peers", "-n", f"{tenant.id}-default")["spec"]["ingress"][0][
        "from"
    ]
    assert all(peer["namespaceSelector"]["matchLabels"]["vcproxy.io/tenant"] == tenant.id for peer in stored)


def test_classes_on_the_allow_list_pass_and_others_are_the_tenants_own(
    client: Client, host_kubectl: Kubectl, tenant: TenantCluster
) -> None:
    claims = "/api/v1/namespaces/default/persistentvolumeclaims"
    for name, given in (("listed", "fast"), ("own", "mine"), ("none", "")):
        spec = {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
            "storageClassName": given,
        }
        assert made(client, claims, {"metadata": {"name": name}, "spec": spec})["spec"]["storageClassName"] == given
    stored = host_kubectl.json("get", "pvc", "-n", f"{tenant.id}-default")["items"]
    classes = {one["metadata"]["name"]: one["spec"]["storageClassName"] for one in stored}
    assert classes == {"listed": "fast", "own": f"{tenant.id}-mine", "none": f"{tenant.id}.none"}


def test_priority_classes(client: Client) -> None:
    pod = {"containers": [{"name": "a", "image": "b"}]}
    pods = "/api/v1/namespaces/default/pods"
    allowed = {"metadata": {"name": "important"}, "spec": {**pod, "priorityClassName": "system-cluster-critical"}}
    assert made(client, pods, allowed)["spec"]["priorityClassName"] == "system-cluster-critical"
    refused = client.call(
        "POST", pods, {"metadata": {"name": "x"}, "spec": {**pod, "priorityClassName": "system-node-critical"}}
    )
    assert refused.code == 403
    assert "no PriorityClass with name system-node-critical was found" in refused.document["message"]


def test_dry_run_and_field_validation(client: Client) -> None:
    body = {"metadata": {"name": "dry"}, "spec": {"made": "up"}}
    assert client.call("POST", f"{MAPS}?dryRun=All", body).code == 201
    assert client.call("GET", f"{MAPS}/dry").code == 404
    warned = client.call("POST", f"{MAPS}?dryRun=All&fieldValidation=Warn", body)
    assert "unknown field" in warned.headers["Warning"]
    strict = client.call("POST", f"{MAPS}?dryRun=All&fieldValidation=Strict", body)
    assert strict.code == 400
    doubled = b'{"metadata":{"name":"dry"},"data":{"a":"1","a":"2"}}'
    assert "duplicate field" in client.call("POST", f"{MAPS}?dryRun=All", doubled).headers["Warning"]
    assert client.call("POST", f"{MAPS}?dryRun=All&fieldValidation=Strict", doubled).code == 400


def test_yaml_bodies_and_answers(client: Client) -> None:
    body = b"metadata:\n  name: yaml\ndata:\n  a: '1'\n  on: \"yes\"\n"
    answer = client.call("POST", MAPS, body, headers={"Content-Type": "application/yaml", "Accept": "application/yaml"})
    assert answer.code == 201, answer.body
    assert b"namespace: default\n" in answer.body
    assert answer.headers["Content-Type"] == "application/yaml"


def test_tables_and_partial_metadata(client: Client) -> None:
    table = "application/json;as=Table;v=v1;g=meta.k8s.io"
    rows = client.call("GET", NAMESPACES, headers={"Accept": table}).document["rows"]
    assert {"default", "kube-system"} <= {row["cells"][0] for row in rows}
    partial = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
    items = client.call("GET", "/api/v1/configmaps", headers={"Accept": partial}).document["items"]
    assert {item["metadata"]["namespace"] for item in items} >= {"default", "kube-system"}
    bare = client.call("GET", f"{NAMESPACES}?includeObject=None", headers={"Accept": table}).document["rows"]
    assert len(bare) == len(rows)


def test_a_list_over_all_namespaces_in_chunks_is_the_whole_list(client: Client) -> None:
    whole = client.call("GET", "/api/v1/configmaps").document
    versions, names, target = set(), [], "/api/v1/configmaps?limit=2"
    for _ in range(100):
        part = client.call("GET", target).document
        versions.add(part["metadata"]["resourceVersion"])
        names += [(item["metadata"]["namespace"], item["metadata"]["name"]) for item in part["items"]]
        assert len(part["items"]) <= 2
        if not part["metadata"].get("continue"):
            break
        target = f"/api/v1/configmaps?limit=2&continue={part['metadata']['continue']}"
    assert names == [(item["metadata"]["namespace"], item["metadata"]["name"]) for item in whole["items"]]
    assert len(versions) == 1


def test_a_continue_token_is_of_one_list_and_one_tenant(
    client: Client, tenant_factory: Callable[[], TenantCluster]
) -> None:
    for target in ("/api/v1/configmaps", NAMESPACES, MAPS):
        made(client, MAPS, {"metadata": {"generateName": "more-"}})
        token = client.call("GET", f"{target}?limit=1").document["metadata"]["continue"]
        other = Client(tenant_factory().kubeconfig)
        assert other.call("GET", f"{target}?limit=1&continue={token}").code == 400
        assert client.call("GET", f"/api/v1/secrets?limit=1&continue={token}").code == 400


def test_selectors(client: Client) -> None:
    made(client, MAPS, {"metadata": {"name": "labelled", "labels": {"app": "x"}}})
    for query in (
        "labelSelector=app%3Dx",
        "fieldSelector=metadata.name%3Dlabelled",
        "fieldSelector=metadata.namespace%3Ddefault",
    ):
        found = client.call("GET", f"/api/v1/configmaps?{query}").document["items"]
        assert "labelled" in {item["metadata"]["name"] for item in found}
        assert {item["metadata"]["namespace"] for item in found} == {"default"}
    found = client.call("GET", f"{NAMESPACES}?labelSelector=kubernetes.io%2Fmetadata.name%3Dkube-system").document[
        "items"
    ]
    assert [item["metadata"]["name"] for item in found] == ["kube-system"]
    found = client.call("GET", f"{NAMESPACES}?fieldSelector=metadata.name%3Dkube-system").document["items"]
    assert [item["metadata"]["name"] for item in found] == ["kube-system"]
    assert client.call("GET", f"{NAMESPACES}?labelSelector=vcproxy.io%2Ftenant").document["items"] == []


def test_deletecollection_removes_what_it_selects(client: Client) -> None:
    for name in ("gone-1", "gone-2"):
        made(client, MAPS, {"metadata": {"name": name, "labels": {"group": "gone"}}})
    assert client.call("DELETE", f"{MAPS}?labelSelector=group%3Dgone").code == 200
    assert client.call("GET", f"{MAPS}?labelSelector=group%3Dgone").document["items"] == []
    assert client.call("GET", f"{MAPS}/kube-root-ca.crt").code == 200


def test_a_watch_tells_of_initial_objects_and_their_end_once(client: Client) -> None:
    query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&timeoutSeconds=3"
    events = list(client.events(f"/api/v1/configmaps?{query}"))
    ends = [
        index
        for index, event in enumerate(events)
        if "k8s.io/initial-events-end" in event["object"]["metadata"].get("annotations", {})
    ]
    assert len(ends) == 1
    added = {event["object"]["metadata"]["namespace"] for event in events[: ends[0]]}
    assert {"default", "kube-system", "kube-public", "kube-node-lease"} <= added


def test_a_watch_over_all_namespaces_follows_new_ones(client: Client) -> None:
    version = client.call("GET", "/api/v1/configmaps").document["metadata"]["resourceVersion"]
    seen: list[tuple[str, str, str]] = []

    def follow() -> None:
        for event in client.events(f"/api/v1/configmaps?watch=1&resourceVersion={version}&timeoutSeconds=30"):
            metadata = event["object"]["metadata"]
            seen.append((event["type"], metadata["namespace"], metadata["name"]))
            if seen[-1] == ("DELETED", "later", "fresh"):
                return

    thread = threading.Thread(target=follow)
    thread.start()
    time.sleep(0.5)
    made(client, NAMESPACES, {"metadata": {"name": "later"}})
    made(client, "/api/v1/namespaces/later/configmaps", {"metadata": {"name": "fresh"}})
    client.call("DELETE", "/api/v1/namespaces/later/configmaps/fresh")
    thread.join(40)
    assert [entry for entry in seen if entry[2] == "fresh"] == [
        ("ADDED", "later", "fresh"),
        ("DELETED", "later", "fresh"),
    ]


def test_a_watch_of_a_namespace_that_is_not_there_yet_begins_when_it_is(client: Client) -> None:
    seen: list[str] = []

    def follow() -> None:
        for event in client.events("/api/v1/namespaces/awaited/configmaps?watch=1&timeoutSeconds=30"):
            seen.append(event["object"]["metadata"]["name"])
            if seen[-1] == "there":
                return

    thread = threading.Thread(target=follow)
    thread.start()
    time.sleep(0.5)
    made(client, NAMESPACES, {"metadata": {"name": "awaited"}})
    made(client, "/api/v1/namespaces/awaited/configmaps", {"metadata": {"name": "there"}})
    thread.join(40)
    assert "there" in seen


def test_a_watch_of_a_single_object_and_of_namespaces(client: Client) -> None:
    made(client, MAPS, {"metadata": {"name": "single"}})
    target = f"{MAPS}?watch=1&fieldSelector=metadata.name%3Dsingle&timeoutSeconds=2"
    assert [event["object"]["metadata"]["name"] for event in client.events(target)] == ["single"]
    names = [event["object"]["metadata"]["name"] for event in client.events(f"{NAMESPACES}?watch=1&timeoutSeconds=2")]
    assert {"default", "kube-system"} <= set(names)
    assert "vcproxy" not in names


def test_an_expired_version_is_the_hosts_410_or_goes_on(client: Client) -> None:
    answer = client.call("GET", f"{MAPS}?resourceVersion=1&resourceVersionMatch=Exact")
    assert answer.code in (200, 410)


def test_events_about_a_namespace(client: Client) -> None:
    body = {
        "metadata": {"name": "told.1"},
        "involvedObject": {"kind": "Namespace", "apiVersion": "v1", "name": "kube-public"},
        "reason": "Told",
        "message": "about kube-public",
        "type": "Normal",
    }
    document = made(client, "/api/v1/namespaces/default/events", body)
    assert document["involvedObject"] == body["involvedObject"]
    query = (
        "fieldSelector=involvedObject.name%3Dkube-public,involvedObject.kind%3DNamespace,involvedObject.namespace%3D"
    )
    assert len(client.call("GET", f"/api/v1/events?{query}").document["items"]) == 1


def test_the_root_certificate_is_the_proxys_and_can_be_put_back(client: Client, proxy: Any) -> None:
    document = client.call("GET", f"{MAPS}/kube-root-ca.crt").document
    assert document["data"]["ca.crt"] == proxy.ca_file.read_text()
    assert client.call("PUT", f"{MAPS}/kube-root-ca.crt", document).code == 200


def test_hidden_objects_are_not_there(client: Client, host_kubectl: Kubectl, tenant: TenantCluster) -> None:
    space = f"{tenant.id}-default"
    host_kubectl("create", "configmap", "kept", "-n", space)
    host_kubectl("label", "configmap", "kept", "-n", space, "vcproxy.io/hidden=true")
    assert "kept" not in client.call("GET", MAPS).body.decode()
    assert client.call("GET", f"{MAPS}/kept").code == 404
    assert client.call("DELETE", f"{MAPS}/kept").code in (403, 404)
    client.call("DELETE", f"{MAPS}?labelSelector=none%3Dhere")
    assert host_kubectl("get", "configmap", "kept", "-n", space).returncode == 0


KINDS = [
    ("", "v1", "endpoints", {"subsets": []}),
    ("", "v1", "limitranges", {"spec": {"limits": []}}),
    ("", "v1", "podtemplates", {"template": {"spec": {"containers": [{"name": "a", "image": "b"}]}}}),
    ("", "v1", "resourcequotas", {"spec": {"hard": {"pods": "9"}}}),
    ("", "v1", "secrets", {"stringData": {"a": "b"}}),
    ("", "v1", "serviceaccounts", {}),
    ("", "v1", "services", {"spec": {"ports": [{"port": 80}]}}),
    ("apps", "v1", "controllerrevisions", {"revision": 1, "data": {"spec": {"template": {}}}}),
    (
        "autoscaling",
        "v2",
        "horizontalpodautoscalers",
        {"spec": {"maxReplicas": 3, "scaleTargetRef": {"kind": "Deployment", "name": "x", "apiVersion": "apps/v1"}}},
    ),
    ("coordination.k8s.io", "v1", "leases", {"spec": {"holderIdentity": "x"}}),
    ("discovery.k8s.io", "v1", "endpointslices", {"addressType": "IPv4", "endpoints": []}),
    (
        "networking.k8s.io",
        "v1",
        "ingresses",
        {"spec": {"ingressClassName": "nginx", "defaultBackend": {"service": {"name": "x", "port": {"number": 80}}}}},
    ),
    ("policy", "v1", "poddisruptionbudgets", {"spec": {"minAvailable": 1, "selector": {"matchLabels": {"a": "b"}}}}),
    (
        "resource.k8s.io",
        "v1",
        "resourceclaims",
        {"spec": {"devices": {"requests": [{"name": "gpu", "exactly": {"deviceClassName": "gpus"}}]}}},
    ),
    ("storage.k8s.io", "v1", "csistoragecapacities", {"storageClassName": "mine"}),
    (
        "batch",
        "v1",
        "cronjobs",
        {
            "spec": {
                "schedule": "@yearly",
                "jobTemplate": {
                    "spec": {
                        "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "b"}]}}
                    }
                },
            }
        },
    ),
    (
        "apps",
        "v1",
        "daemonsets",
        {
            "spec": {
                "selector": {"matchLabels": {"a": "b"}},
                "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "a", "image": "b"}]}},
            }
        },
    ),
    (
        "apps",
        "v1",
        "statefulsets",
        {
            "spec": {
                "serviceName": "x",
                "selector": {"matchLabels": {"a": "c"}},
                "template": {"metadata": {"labels": {"a": "c"}}, "spec": {"containers": [{"name": "a", "image": "b"}]}},
                "volumeClaimTemplates": [
                    {
                        "metadata": {"name": "d"},
                        "spec": {
                            "storageClassName": "mine",
                            "accessModes": ["ReadWriteOnce"],
                            "resources": {"requests": {"storage": "1Gi"}},
                        },
                    }
                ],
            }
        },
    ),
]


@pytest.mark.parametrize(("group", "version", "resource", "body"), KINDS, ids=[kind[2] for kind in KINDS])
def test_every_kind_is_made_listed_patched_and_removed(
    client: Client, tenant: TenantCluster, group: str, version: str, resource: str, body: dict[str, Any]
) -> None:
    base = f"/apis/{group}/{version}" if group else f"/api/{version}"
    target = f"{base}/namespaces/kube-system/{resource}"
    document = made(client, target, {"metadata": {"name": "every"}, **body})
    assert document["metadata"]["namespace"] == "kube-system"
    listed = client.call("GET", f"{base}/{resource}").document["items"]
    assert "every" in {item["metadata"]["name"] for item in listed}
    patched = client.call("PATCH", f"{target}/every", {"metadata": {"labels": {"seen": "yes"}}}, headers=MERGE)
    assert patched.document["metadata"]["labels"]["seen"] == "yes", patched.body
    assert put_back(client, f"{target}/every") == 200
    assert f"{tenant.id}-".encode() not in patched.body
    first = next(itertools.islice(client.events(f"{target}?watch=1&timeoutSeconds=5"), 1))
    assert first["object"]["metadata"]["namespace"] == "kube-system"
    assert client.call("DELETE", f"{target}/every").code in (200, 202)


@pytest.fixture(autouse=True)
def _nothing_leaks(client: Client, tenant: TenantCluster) -> Iterator[None]:
    yield
    from e2e.scan import leaks

    received, client.received = client.received, []
    assert leaks(received, (f"{tenant.id}-", f"tenant:{tenant.id}")) == []
