"""Cases 35, 38 and 39: nothing tells of other tenants or of the host, and no answer can be carried over."""

from typing import Any

import pytest

from e2e.attack.cases import case
from e2e.attack.conftest import VAULT, Attacker, Victim, Witness, is_status

pytestmark = pytest.mark.own_host

REVIEWS = ["subjectaccessreviews", "selfsubjectaccessreviews", "selfsubjectrulesreviews"]


@case(35)
def test_a_continue_token_of_another_tenant_is_none(attacker: Attacker, victim: Victim, arrived: Witness) -> None:
    for target in ("/api/v1/configmaps", f"/api/v1/namespaces/{VAULT}/configmaps", "/api/v1/namespaces"):
        page = victim.client.call("GET", f"{target}?limit=1").document
        token = page["metadata"].get("continue")
        if token:
            for own in ("/api/v1/configmaps", "/api/v1/namespaces/default/configmaps", "/api/v1/namespaces"):
                is_status(attacker.call("GET", f"{own}?limit=1&continue={token}"), 400, 410)
    assert arrived() == []


@case(35)
def test_a_continue_token_of_the_hosts_own_form_is_none(attacker: Attacker, victim: Victim, arrived: Witness) -> None:
    import base64
    import json

    start = f"{victim.id}-{VAULT}/plans\u0000"
    token = base64.urlsafe_b64encode(json.dumps({"v": "meta.k8s.io/v1", "rv": 1, "start": start}).encode()).decode()
    for target in ("/api/v1/secrets", "/api/v1/namespaces", "/api/v1/namespaces/default/secrets"):
        is_status(attacker.call("GET", f"{target}?limit=500&continue={token}"), 400)
    assert arrived() == []


@case(35)
def test_a_version_of_another_tenant_shows_only_what_is_ones_own(attacker: Attacker, victim: Victim) -> None:
    """Versions count for the whole host: they tell that something happened, never what."""
    version = victim.client.call("GET", "/api/v1/secrets").document["metadata"]["resourceVersion"]
    for match in ("NotOlderThan", "Exact"):
        answer = attacker.call("GET", f"/api/v1/secrets?resourceVersion={version}&resourceVersionMatch={match}")
        assert answer.code in (200, 400, 410)
    attacker.call("GET", f"/api/v1/configmaps?watch=1&resourceVersion={version}&timeoutSeconds=1")


@case(38)
def test_a_review_about_strangers_tells_nothing(attacker: Attacker, victim: Victim, arrived: Witness) -> None:
    """Answered as if only this tenant existed, or not at all; the host is never asked."""
    attributes = {"verb": "get", "resource": "secrets", "namespace": f"{victim.id}-{VAULT}"}
    for user in (f"vcproxy:tenant:{victim.id}", "system:admin", "system:serviceaccount:kube-system:default"):
        spec: dict[str, Any] = {"user": user, "groups": ["somebody"], "resourceAttributes": attributes}
        for kind in REVIEWS:
            answer = attacker.call("POST", f"/apis/authorization.k8s.io/v1/{kind}", {"spec": spec})
            assert answer.code in (201, 400, 404), answer.body
            if kind == "subjectaccessreviews" and answer.code == 201:
                assert answer.document["status"].get("allowed") is not True
        answer = attacker.call("POST", "/apis/authentication.k8s.io/v1/tokenreviews", {"spec": {"token": "x"}})
        assert answer.code in (201, 404)
    token = victim.client.token
    answer = attacker.call("POST", "/apis/authentication.k8s.io/v1/tokenreviews", {"spec": {"token": token}})
    assert answer.code in (201, 404)
    assert answer.code == 404 or answer.document["status"].get("authenticated") is not True
    assert not any("reviews" in one.uri for one in arrived())


@case(39)
@pytest.mark.parametrize(
    "target",
    [
        "/api/v1/events",
        "/apis/events.k8s.io/v1/events",
        "/apis/coordination.k8s.io/v1/leases",
        "/api/v1/endpoints",
        "/apis/discovery.k8s.io/v1/endpointslices",
        "/api/v1/configmaps",
        "/api/v1/secrets",
        "/api/v1/serviceaccounts",
        "/api/v1/services",
        "/api/v1/pods",
        "/apis/apps/v1/deployments",
    ],
)
def test_a_list_over_all_namespaces_holds_nothing_foreign(attacker: Attacker, victim: Victim, target: str) -> None:
    spaces = {one["metadata"]["name"] for one in attacker.call("GET", "/api/v1/namespaces").document["items"]}
    items = attacker.call("GET", target).document["items"]
    assert {item["metadata"]["namespace"] for item in items} <= spaces


@case(39)
def test_what_the_host_keeps_in_kube_system_is_not_there(attacker: Attacker) -> None:
    spaces = "/api/v1/namespaces/kube-system"
    for target in (
        f"{spaces}/configmaps/extension-apiserver-authentication",
        f"{spaces}/configmaps/kube-apiserver-legacy-service-account-token-tracking",
        f"{spaces}/serviceaccounts/namespace-controller",
        "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/node-0",
        "/api/v1/namespaces/vcproxy-system/secrets/vcproxy-keys",
    ):
        is_status(attacker.call("GET", target), 404)
