"""From kubectl's client-side apply to its server-side apply and back: the same words as on a plain API server."""

import json
import secrets
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest

from e2e.client import Client
from e2e.cluster.kubectl import Kubectl
from e2e.cluster.proxy import TenantCluster, random_id
from e2e.scan import leaks

LAST_NAME: Final = "kubectl.kubernetes.io/last-applied-configuration"
LAST: Final = r"jsonpath={.metadata.annotations.kubectl\.kubernetes\.io/last-applied-configuration}"
GROUP: Final = "rbac.authorization.k8s.io"
ODD: Final = 'a<b> & "c" \\ / \u2028 \u0007 ünï \U0001f600'


def thing(version: str, kind: str, scoped: bool = False, **fields: Any) -> dict[str, Any]:
    """`scoped`: it stands in no namespace, so its name is one that nobody else has on the plain server."""
    metadata = {"name": "made-MARK"} if scoped else {"name": fields.pop("name", "made"), "namespace": "SPACE"}
    return {"apiVersion": version, "kind": kind, "metadata": {**metadata, "annotations": {"odd": ODD}}, **fields}


SCHEMA: Final = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
TEMPLATE: Final = {
    "metadata": {"labels": {"app": "made"}},
    "spec": {
        "affinity": {
            "podAntiAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": [
                    {"topologyKey": "zone", "namespaces": ["SPACE"], "labelSelector": {"matchLabels": {"app": "made"}}}
                ]
            }
        },
        "containers": [{"name": "made", "image": "registry.example/made:1", "args": [ODD, "1e3", "0.5"]}],
    },
}
STORAGE: Final = {"requests": {"storage": "1Gi"}}
OBJECTS: Final = (
    thing("v1", "ConfigMap", data={"odd": ODD, "large": "x" * 100_000, "namespace": "SPACE"}),
    thing("v1", "Secret", stringData={"odd": ODD}),
    thing("apps/v1", "Deployment", spec={"selector": {"matchLabels": {"app": "made"}}, "template": TEMPLATE}),
    thing("v1", "Service", spec={"ports": [{"port": 80}], "selector": {"app": "made"}}),
    thing(
        "v1",
        "PersistentVolumeClaim",
        spec={
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "fast",
            "resources": STORAGE,
        },
    ),
    thing("v1", "PersistentVolumeClaim", spec={"accessModes": ["ReadWriteMany"], "resources": STORAGE}, name="plain"),
    thing(
        "networking.k8s.io/v1",
        "NetworkPolicy",
        spec={"podSelector": {}, "ingress": [{"from": [{"namespaceSelector": {"matchLabels": {"a": "b"}}}]}]},
    ),
    thing("v1", "Namespace", scoped=True),
    thing(f"{GROUP}/v1", "Role", rules=[{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]),
    thing(
        f"{GROUP}/v1",
        "RoleBinding",
        roleRef={"apiGroup": GROUP, "kind": "Role", "name": "made"},
        subjects=[{"kind": "ServiceAccount", "name": "robot", "namespace": "SPACE"}],
    ),
    thing(f"{GROUP}/v1", "ClusterRole", scoped=True, rules=[{"nonResourceURLs": ["/x"], "verbs": ["get"]}]),
    {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "mades.MARK.example.com"},
        "spec": {
            "group": "MARK.example.com",
            "scope": "Namespaced",
            "names": {"plural": "mades", "singular": "made", "kind": "Made"},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": SCHEMA}}],
        },
    },
    thing("MARK.example.com/v1", "Made", spec={"odd": ODD, "numbers": [1, -1, 0.5, 1e30, 1.5e-7, 10000000000]}),
)
KINDS: Final = [str(one["kind"]) for one in OBJECTS]


class Side:
    """One cluster; SPACE and MARK stand for what is its own."""

    def __init__(self, kubectl: Kubectl, space: str) -> None:
        self.kubectl, self.space, self.mark = kubectl, space, f"m{secrets.token_hex(4)}"

    def written(self, document: Any) -> str:
        return json.dumps(document).replace("SPACE", self.space).replace("MARK", self.mark)

    def run(self, *command: str, body: Any = None) -> tuple[int, str, str]:
        done = self.kubectl(*command, input=None if body is None else self.written(body), check=False)
        said = [text.replace(self.space, "SPACE").replace(self.mark, "MARK") for text in (done.stdout, done.stderr)]
        return done.returncode, said[0], said[1]

    def look(self, document: Any, form: str) -> str:
        return self.run("get", "-f", "-", "-o", form, body=document)[1]


@pytest.fixture(scope="module")
def tenant(tenant_factory: Callable[..., TenantCluster]) -> Iterator[TenantCluster]:
    made = tenant_factory()
    yield made
    assert leaks(made.received, [f"{made.id}-", "shadow.vcproxy"]) == []


@pytest.fixture(scope="module")
def sides(tenant: TenantCluster, host_kubectl: Kubectl) -> Iterator[tuple[Side, Side]]:
    found = Side(host_kubectl, f"applied-{random_id()}"), Side(tenant.kubectl, f"applied-{random_id()}")
    for side in found:
        side.kubectl("create", "namespace", side.space)
    yield found
    for document in reversed(OBJECTS):
        found[0].run("delete", "--wait=false", "-f", "-", body=document)
    host_kubectl("delete", "namespace", found[0].space, "--wait=false")


@pytest.mark.parametrize("document", OBJECTS, ids=KINDS)
def test_both_sorts_of_apply_in_turn(sides: tuple[Side, Side], document: dict[str, Any]) -> None:
    server_side = ("apply", "--server-side", "-f", "-")
    steps = (("apply", "-f", "-"), ("apply", "-f", "-"), server_side, server_side, ("apply", "-f", "-"), server_side)
    for step in steps:
        plain, ours = (side.run(*step, body=document) for side in sides)
        assert ours == plain
        assert "Warning" not in ours[2]
        shown = [side.look(document, LAST) for side in sides]
        assert shown[1] == shown[0]


@pytest.mark.parametrize("document", OBJECTS, ids=KINDS)
def test_a_server_side_apply_again_changes_nothing(sides: tuple[Side, Side], document: dict[str, Any]) -> None:
    """Runs after the steps above: what they have made has been applied in both ways."""
    if document["apiVersion"].startswith(GROUP):  # judged before they are written, these name the version in the text
        document = {**document, "metadata": {**document["metadata"], "name": "again-MARK"}}
    versions = []
    for side in sides:
        side.run("apply", "--server-side", "-f", "-", body=document)
        before = side.look(document, "jsonpath={.metadata.resourceVersion}")
        assert side.run("apply", "--server-side", "-f", "-", body=document)[0] == 0
        versions.append((before, side.look(document, "jsonpath={.metadata.resourceVersion}")))
    assert [before == after for before, after in versions] == [True, True]


def test_a_text_that_is_no_object_stays_as_it_is(tenant: TenantCluster) -> None:
    client, path = Client(tenant.kubeconfig), "/api/v1/namespaces/default/configmaps/odd"
    other = '{"metadata":{"namespace":"other","name":"odd"}}\n'
    spaced = '{"metadata": {"namespace":"default","name":"odd"},"a":1.0}\n'
    for text in ("", "{", "[]", "7", spaced, other, "default"):
        metadata = {"name": "odd", "namespace": "default", "annotations": {LAST_NAME: text}}
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}
        headers = {"Content-Type": "application/apply-patch+yaml"}
        answer = client.call("PATCH", f"{path}?fieldManager=other&force=true", body, headers=headers)
        assert answer.code in (200, 201)
        assert answer.document["metadata"]["annotations"] == {LAST_NAME: text}
        assert client.call("GET", path).document["metadata"]["annotations"] == {LAST_NAME: text}


def test_signs_that_yaml_reads_in_another_way_arrive_as_they_are(tenant: TenantCluster) -> None:
    """A server-side apply is YAML to the API server, and clients send JSON with escapes."""
    data = {"odd": "a \u0085 b \u2028 c \u2029 d \ufeff e \x7f f \x9f g"}
    document = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "signs"}, "data": data}
    client, path = Client(tenant.kubeconfig), "/api/v1/namespaces/default/configmaps/signs?fieldManager=other"
    headers = {"Content-Type": "application/apply-patch+yaml"}
    assert client.call("PATCH", path, document, headers=headers).document["data"] == data
