"""Cases 37 and 39 by the detour of the host's controllers: what a tenant writes down, they look up with all rights."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from e2e.attack.cases import case
from e2e.attack.conftest import Attacker, Victim, is_status
from e2e.cluster.kubectl import Kubectl

HERE = "/api/v1/namespaces/default"
GONE = 60.0
"""Seconds in which the host ends a namespace."""
LEGACY = "volume.beta.kubernetes.io/storage-class"


@pytest.fixture
def space(attacker: Attacker) -> Iterator[str]:
    """A namespace that is gone at the end, with the events in which controllers repeat what the attacker wrote."""
    path = "/api/v1/namespaces/asking"
    assert attacker.call("POST", "/api/v1/namespaces", {"metadata": {"name": "asking"}}).code == 201
    yield "asking"
    attacker.call("DELETE", path)
    end = time.monotonic() + GONE
    while attacker.call("GET", path).code != 404:
        assert time.monotonic() < end
        time.sleep(0.3)


@case(37)
def test_no_controller_looks_for_the_kinds_of_others(
    attacker: Attacker, victim: Victim, host_kubectl: Kubectl, space: str
) -> None:
    """The garbage collector deletes, a quota counts and an autoscaler answers otherwise where a kind is known."""
    here = f"/api/v1/namespaces/{space}"
    group = f"{victim.id}-secret.example.com"
    owner = {"apiVersion": f"{group}/v1", "kind": "Plan", "name": "x", "uid": "1"}
    target = {"apiVersion": f"{group}/v1", "kind": "Plan", "name": "x"}
    scaled = {"metadata": {"name": "asks"}, "spec": {"maxReplicas": 2, "scaleTargetRef": target}}
    scalers = f"/apis/autoscaling/v2/namespaces/{space}/horizontalpodautoscalers"
    made: list[tuple[str, Any]] = [
        (f"{here}/configmaps", {"metadata": {"name": "asks", "ownerReferences": [owner]}}),
        (f"{here}/resourcequotas", {"metadata": {"name": "asks"}, "spec": {"hard": {f"count/plans.{group}": "5"}}}),
        (scalers, scaled),
    ]
    for path, body in made:
        answer = attacker.call("POST", path, body)
        assert answer.code == 201, answer.body
        again = attacker.call("GET", f"{path}/asks").body.decode()
        assert group in again
        assert f"{attacker.tenant}-" not in again
    for resource in ("configmap", "resourcequota", "hpa"):
        stored = host_kubectl("get", resource, "asks", "-n", f"{attacker.tenant}-{space}", "-o", "json").stdout
        assert group in stored
        assert stored.count(group) == stored.count(f"{attacker.tenant}-{group}")


@case(28)
def test_claims_that_controllers_make_name_no_class_of_others(
    attacker: Attacker, victim: Victim, host_kubectl: Kubectl, space: str
) -> None:
    """The annotation that named a class before the field counts before it."""
    here = f"/api/v1/namespaces/{space}"
    foreign = f"{victim.id}-fast"
    metadata = {"name": "data", "annotations": {LEGACY: foreign}}
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    volume = {"name": "data", "ephemeral": {"volumeClaimTemplate": {"metadata": {"annotations": {LEGACY: foreign}}}}}
    volume["ephemeral"]["volumeClaimTemplate"]["spec"] = claim  # type: ignore[index]
    pod = {"containers": [{"name": "main", "image": "registry.example/app:1"}]}
    labels = {"app": "takes"}
    stateful = {
        "serviceName": "takes",
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": pod},
        "volumeClaimTemplates": [{"metadata": metadata, "spec": claim}],
    }
    made: list[tuple[str, Any]] = [
        (f"/apis/apps/v1/namespaces/{space}/statefulsets", {"metadata": {"name": "takes"}, "spec": stateful}),
        (f"{here}/pods", {"metadata": {"name": "takes"}, "spec": {**pod, "volumes": [volume]}}),
    ]
    for path, body in made:
        answer = attacker.call("POST", path, body)
        assert answer.code == 201, answer.body
    for name in ("data-takes-0", "takes-data"):
        stored = _stored(host_kubectl, f"{attacker.tenant}-{space}", name)
        assert stored["metadata"]["annotations"][LEGACY] == f"{attacker.tenant}-{foreign}"
        shown = attacker.call("GET", f"{here}/persistentvolumeclaims/{name}").document
        assert shown["metadata"]["annotations"][LEGACY] == foreign


def _stored(host_kubectl: Kubectl, namespace: str, name: str) -> Any:
    """A claim on the host, waited for."""
    end = time.monotonic() + 20.0
    while True:
        found = host_kubectl("get", "pvc", name, "-n", namespace, "-o", "json", check=False)
        if found.returncode == 0:
            return json.loads(found.stdout)
        assert time.monotonic() < end, found.stderr
        time.sleep(0.2)


@case(39)
@pytest.mark.parametrize(("part", "key"), [("labels", "vcproxy.io/hidden"), ("annotations", "vcproxy.io/namespace")])
def test_no_template_gives_a_reserved_mark_to_what_controllers_make(attacker: Attacker, part: str, key: str) -> None:
    inner = {"metadata": {part: {key: "true"}}}
    claim = {**inner, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}
    container = {"name": "main", "image": "registry.example/app:1"}
    pod = {"containers": [container], "volumes": [{"name": "data", "ephemeral": {"volumeClaimTemplate": claim}}]}
    is_status(attacker.call("POST", f"{HERE}/pods", {"metadata": {"name": "marks"}, "spec": pod}), 403)
    devices = {**inner, "spec": {"devices": {"requests": [{"name": "one", "exactly": {"deviceClassName": "any"}}]}}}
    templates = "/apis/resource.k8s.io/v1/namespaces/default/resourceclaimtemplates"
    is_status(attacker.call("POST", templates, {"metadata": {"name": "marks"}, "spec": devices}), 403)


DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def _definition(group: str) -> dict[str, Any]:
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    columns = [
        {"name": "Space", "type": "string", "jsonPath": ".metadata.namespace"},
        {"name": "All", "type": "string", "jsonPath": ".metadata", "description": "whatever there is"},
        {"name": "Version", "type": "string", "jsonPath": ".apiVersion", "description": "of its group"},
    ]
    version = {"name": "v1", "served": True, "storage": True, "schema": schema, "additionalPrinterColumns": columns}
    names = {"plural": "plans", "singular": "plan", "kind": "Plan"}
    spec = {"group": group, "scope": "Namespaced", "names": names, "versions": [version]}
    return {"metadata": {"name": f"plans.{group}"}, "spec": spec}


@case(20, 37)
def test_no_word_about_definitions_is_one_of_the_host(attacker: Attacker) -> None:
    """What the attacker receives is searched at the end of each test."""
    for name in ("plans.nowhere.example.com", "plans", "x.y"):
        for method in ("GET", "DELETE"):
            is_status(attacker.call(method, f"{DEFINITIONS}/{name}"), 404)
    body = _definition("nowhere.example.com")
    is_status(attacker.call("POST", DEFINITIONS, {**body, "metadata": {"name": "other.nowhere.example.com"}}), 422)
    is_status(attacker.call("POST", DEFINITIONS, _definition("asks.k8s.io")), 422)
    table = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
    plans = "/apis/columns.example.com/v1/namespaces/default/plans"
    body = _definition("columns.example.com")
    assert attacker.call("POST", DEFINITIONS, body).code == 201
    try:
        end = time.monotonic() + 20.0
        plan = {"apiVersion": "columns.example.com/v1", "kind": "Plan", "metadata": {"name": "one"}}
        while (answer := attacker.call("POST", plans, plan)).code != 201:
            assert time.monotonic() < end, answer.body
            time.sleep(0.2)
        assert '"default"' in attacker.call("GET", plans, headers=table).body.decode()
        assert attacker.call("GET", DEFINITIONS, headers=table).code == 200
    finally:
        attacker.call("DELETE", f"{DEFINITIONS}/plans.columns.example.com")


@case(37)
def test_no_patch_makes_the_host_ask_a_webhook_how_to_convert(attacker: Attacker) -> None:
    """The API server would follow a Service wherever it leads, with its own network."""
    path = f"{DEFINITIONS}/plans.converts.example.com"
    service = {"namespace": f"{attacker.tenant}-default", "name": "mine"}
    webhook = {"clientConfig": {"service": service}, "conversionReviewVersions": ["v1"]}
    wanted = {"strategy": "Webhook", "webhook": webhook}
    merge, pointer = "application/merge-patch+json", "application/json-patch+json"
    steps = [{"op": "add", "path": f"/spec/conversion/{key}", "value": value} for key, value in wanted.items()]
    assert attacker.call("POST", DEFINITIONS, _definition("converts.example.com")).code == 201
    try:
        for kind, body in (
            (merge, {"spec": {"conversion": wanted}}),
            (pointer, steps),
            (pointer, [{"op": "replace", "path": "/spec/conversion", "value": wanted}]),
        ):
            is_status(attacker.call("PATCH", path, body, headers={"Content-Type": kind}), 403)
        assert attacker.call("GET", path).document["spec"]["conversion"] == {"strategy": "None"}
    finally:
        attacker.call("DELETE", path)
