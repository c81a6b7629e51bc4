"""Case 17: a subresource is as closed as its parent."""

from typing import Any

import pytest

from e2e.attack.cases import case
from e2e.attack.conftest import VAULT, Attacker, Victim, Witness, is_status
from e2e.client import JSON
from e2e.cluster.kubectl import Kubectl

pytestmark = pytest.mark.own_host

SPACES = "/api/v1/namespaces"
PODS = f"{SPACES}/default/pods"
MERGE = {"Content-Type": "application/merge-patch+json"}
POD = {"metadata": {"name": "own"}, "spec": {"containers": [{"name": "a", "image": "registry.example/a:1"}]}}


@case(17)
def test_every_subresource_stays_in_the_tenants_namespaces(
    attacker: Attacker, victim: Victim, arrived: Witness
) -> None:
    host = f"{victim.id}-{VAULT}"
    tries: list[tuple[str, str, Any]] = [
        ("PUT", f"{SPACES}/{host}/finalize", {"metadata": {"name": host}, "spec": {"finalizers": []}}),
        ("PATCH", f"{SPACES}/{host}/status", {"status": {"phase": "Terminating"}}),
        ("PATCH", f"{SPACES}/{host}/pods/safe/ephemeralcontainers", {"spec": {"ephemeralContainers": []}}),
        ("PATCH", f"{SPACES}/{host}/pods/safe/status", {"status": {"podIP": "192.0.2.1"}}),
        ("PATCH", f"{SPACES}/{host}/pods/safe/resize", {"spec": {}}),
        ("POST", f"{SPACES}/{host}/pods/safe/binding", {"target": {"kind": "Node", "name": "node-0"}}),
        ("POST", f"{SPACES}/{host}/pods/safe/eviction", {"metadata": {"name": "safe"}}),
        ("POST", f"{SPACES}/{host}/serviceaccounts/default/token", {"spec": {}}),
        ("GET", f"{SPACES}/{host}/pods/safe/log", None),
    ]
    for method, target, body in tries:
        headers = MERGE if method == "PATCH" else {"Content-Type": JSON if body else ""}
        is_status(attacker.call(method, target, body, headers=headers), 400, 404, 405, 422)
    assert not any(f"/{host}/" in one.uri.replace(f"{attacker.tenant}-{host}", "") for one in arrived())


@case(17, 18)
def test_the_body_of_a_subresource_names_no_other_object(attacker: Attacker, victim: Victim) -> None:
    attacker.call("POST", PODS, POD)
    host = f"{victim.id}-{VAULT}"
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "safe", "namespace": host}}
    is_status(attacker.call("POST", f"{PODS}/own/eviction", eviction), 400, 422)
    binding = {"metadata": {"name": "safe", "namespace": host}, "target": {"kind": "Node", "name": "node-0"}}
    is_status(attacker.call("POST", f"{PODS}/own/binding", binding), 400, 422, 409)
    assert victim.client.call("GET", f"{SPACES}/{VAULT}/pods/safe").code == 200


@case(17)
@pytest.mark.parametrize(
    "status",
    [
        {"podIP": "192.0.2.1"},
        {"podIPs": [{"ip": "192.0.2.1"}]},
        {"podIP": "192.0.2.1", "podIPs": [{"ip": "192.0.2.1"}]},
        {"hostIP": "192.0.2.1"},
        {"hostIP": "192.0.2.1", "hostIPs": [{"ip": "192.0.2.1"}]},
        {"nominatedNodeName": "node-0"},
    ],
)
def test_addresses_of_a_pod_are_not_what_its_owner_says(attacker: Attacker, status: dict[str, Any]) -> None:
    """The host takes podIP for podIPs where they differ, so a change may also come to nothing."""
    attacker.call("POST", PODS, POD)
    answer = attacker.call("PATCH", f"{PODS}/own/status", {"status": status}, headers=MERGE)
    assert answer.code in (200, 403, 422)
    after = attacker.call("GET", f"{PODS}/own").document["status"]
    assert "192.0.2.1" not in str(after)
    assert "nominatedNodeName" not in after


@case(17, 36)
def test_a_namespace_is_not_let_go_before_it_is_empty(
    attacker: Attacker, host_kubectl: Kubectl, victim: Victim
) -> None:
    """Without the host's own finalizer what stands in it would outlive it, uncounted, and wait for its next owner."""
    assert attacker.call("POST", SPACES, {"metadata": {"name": "ghost"}}).code == 201
    for spec in ({"finalizers": list[str]()}, dict[str, Any]()):
        whole = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "ghost"}, "spec": spec}
        is_status(attacker.call("PUT", f"{SPACES}/ghost/finalize", whole), 403)
    found = host_kubectl.json("get", "namespace", f"{attacker.tenant}-ghost")
    assert found["spec"]["finalizers"] == ["kubernetes"]


@case(17)
def test_a_finalizer_of_the_tenants_own_on_a_namespace_goes_on_and_off(attacker: Attacker) -> None:
    attacker.call("POST", SPACES, {"metadata": {"name": "kept"}})
    for finalizers in (["kubernetes", "example.com/own"], ["kubernetes"]):
        whole = {"metadata": {"name": "kept"}, "spec": {"finalizers": finalizers}}
        answer = attacker.call("PUT", f"{SPACES}/kept/finalize", whole)
        assert answer.code == 200, answer.body
        assert answer.document["spec"]["finalizers"] == finalizers
