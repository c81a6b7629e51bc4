"""HorizontalPodAutoscalers in both versions: what autoscaling/v1 holds in annotations, beside a plain cluster."""

import copy
import json
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest

from e2e.client import Client
from e2e.cluster.host import Host
from e2e.cluster.kubectl import Kubectl
from e2e.cluster.proxy import TenantCluster
from e2e.scan import leaks

KEY: Final = "autoscaling.alpha.kubernetes.io/"
TOLD: Final = 60.0
"""Seconds in which the host's autoscaler has looked at a new object."""
REFERENCE: Final = {"kind": "Widget", "name": "w", "apiVersion": "widgets.example.com/v1"}
SPEC: Final[dict[str, Any]] = {
    "scaleTargetRef": {"kind": "Gadget", "name": "g", "apiVersion": "gadgets.example.com/v1"},
    "maxReplicas": 3,
    "metrics": [
        {
            "type": "Object",
            "object": {
                "describedObject": REFERENCE,
                "metric": {"name": "load"},
                "target": {"type": "Value", "value": "5"},
            },
        }
    ],
    "behavior": {"scaleDown": {"stabilizationWindowSeconds": 60}},
}


class Cluster:
    """One in which autoscalers are made: `path` of a version."""

    def __init__(self, client: Client, space: str) -> None:
        self.client, self._space = client, space

    def path(self, version: str, name: str = "") -> str:
        found = f"/apis/autoscaling/{version}/namespaces/{self._space}/horizontalpodautoscalers"
        return f"{found}/{name}" if name else found

    def make(self, version: str, name: str, spec: dict[str, Any], **annotations: str) -> Any:
        texts = {f"{KEY}{key}": value for key, value in annotations.items()}
        document = {"metadata": {"name": name, "annotations": texts}, "spec": spec}
        return self.client.call("POST", self.path(version), document)

    def get(self, version: str, name: str) -> Any:
        return self.client.call("GET", self.path(version, name)).document

    def parts(self, name: str) -> dict[str, str]:
        found = self.get("v1", name)["metadata"].get("annotations") or {}
        return {key.removeprefix(KEY): value for key, value in found.items()}


@pytest.fixture(scope="module")
def tenant(tenant_factory: Callable[..., TenantCluster]) -> Iterator[Cluster]:
    made = tenant_factory()
    found = Cluster(Client(made.kubeconfig), "default")
    yield found
    assert leaks(found.client.received, [made.id]) == []


@pytest.fixture(scope="module")
def plain(host: Host, host_kubectl: Kubectl) -> Iterator[Cluster]:
    host_kubectl("create", "namespace", "plain-autoscaling")
    yield Cluster(Client(host.kubeconfig, certificate=True), "plain-autoscaling")
    host_kubectl("delete", "namespace", "plain-autoscaling", "--wait=false")


@pytest.fixture(params=["tenant", "plain"])
def cluster(request: pytest.FixtureRequest) -> Cluster:
    found: Cluster = request.getfixturevalue(request.param)
    return found


def test_what_version_1_holds_in_annotations_is_what_a_plain_api_server_says(tenant: Cluster, plain: Cluster) -> None:
    for one in (tenant, plain):
        assert one.make("v2", "newer", SPEC).code == 201
    ours, theirs = (one.parts("newer") for one in (tenant, plain))
    for part in ("metrics", "behavior"):
        assert ours[part] == theirs[part]
    assert "widgets.example.com/v1" in ours["metrics"]


def test_annotations_of_version_1_become_fields_of_version_2(cluster: Cluster) -> None:
    reference = {"kind": "Widget", "name": "w", "APIVersion": "widgets.example.com/v1"}
    metric = {"type": "Object", "object": {"target": reference, "metricName": "load", "targetValue": "5"}}
    spec = {"scaleTargetRef": SPEC["scaleTargetRef"], "maxReplicas": 3}
    made = cluster.make("v1", "older", spec, metrics=json.dumps([metric]))
    assert made.code == 201, made.body
    found = cluster.get("v2", "older")["spec"]
    assert found["metrics"][0]["object"]["describedObject"] == REFERENCE
    assert found["scaleTargetRef"] == SPEC["scaleTargetRef"]


def test_on_the_host_they_name_the_groups_of_the_tenant(tenant: Cluster, plain: Cluster, host_kubectl: Kubectl) -> None:
    tenant.make("v2", "stored", copy.deepcopy(SPEC))
    metric = {"type": "Object", "object": {"target": REFERENCE, "metricName": "load", "targetValue": "5"}}
    spec = {"scaleTargetRef": SPEC["scaleTargetRef"], "maxReplicas": 3}
    tenant.make("v1", "stored-too", spec, metrics=json.dumps([metric]))
    text = host_kubectl("get", "horizontalpodautoscalers.v2.autoscaling", "-A", "-o", "json").stdout
    found = {
        item["metadata"]["name"]: item["spec"]["metrics"][0]["object"]["describedObject"]["apiVersion"]
        for item in json.loads(text)["items"]
        if item["metadata"]["namespace"] != "plain-autoscaling" and item["metadata"]["name"].startswith("stored")
    }
    assert found.keys() == {"stored", "stored-too"}
    assert {version.partition("-")[2] for version in found.values()} == {"widgets.example.com/v1"}


def test_a_patch_of_version_1_keeps_what_the_annotations_name(cluster: Cluster) -> None:
    cluster.make("v2", "patched", SPEC)
    headers = {"Content-Type": "application/merge-patch+json"}
    answer = cluster.client.call("PATCH", cluster.path("v1", "patched"), {"spec": {"maxReplicas": 5}}, headers=headers)
    assert answer.code == 200, answer.body
    shown = cluster.get("v1", "patched")
    assert cluster.client.call("PUT", cluster.path("v1", "patched"), shown).code == 200
    assert cluster.get("v2", "patched")["spec"]["metrics"][0]["object"]["describedObject"] == REFERENCE


def test_conditions_tell_nothing_of_the_host(tenant: Cluster) -> None:
    tenant.make("v2", "told", SPEC)
    end = time.monotonic() + TOLD
    while "Gadget" not in (found := tenant.parts("told").get("conditions", "")):
        assert time.monotonic() < end, found
        time.sleep(1)
    assert "gadgets.example.com" in found


def test_what_cannot_be_read_and_could_name_a_group_is_refused(tenant: Cluster) -> None:
    answer = tenant.make("v1", "odd", {"scaleTargetRef": REFERENCE, "maxReplicas": 1}, metrics='[{"a":"globex-x/v1"')
    assert (answer.code, "must be JSON" in answer.document["message"]) == (422, True)
