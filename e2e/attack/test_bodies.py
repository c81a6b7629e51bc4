"""Cases 18 and 25: a body acts on the object of its URL, or on none; and costs what it may cost."""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from e2e.attack.cases import case
from e2e.attack.conftest import VAULT, Attacker, Victim, Witness, is_status

pytestmark = pytest.mark.own_host

MAPS = "/api/v1/namespaces/default/configmaps"
PATIENCE = 5.0
"""Seconds in which the costliest body must be answered."""


@case(18)
@pytest.mark.parametrize(
    "metadata",
    [
        {"name": "plans", "namespace": "kube-system"},
        {"name": "plans", "namespace": "{victim}-vault"},
        {"name": "plans", "namespace": "{own}-default"},
        {"name": "plans", "namespace": ["default"]},
        {"name": 1},
        {"name": {"a": "b"}},
        {"name": "../x"},
        {"name": "a/b"},
        {"name": "plans", "labels": {"vcproxy.io/tenant": "{victim}"}},
        {"name": "plans", "labels": {"vcproxy.io/hidden": "true"}},
    ],
)
def test_a_body_that_names_another_place_is_refused(
    attacker: Attacker, victim: Victim, arrived: Witness, metadata: dict[str, Any]
) -> None:
    text = json.dumps(metadata).replace("{victim}", victim.id).replace("{own}", attacker.tenant)
    is_status(attacker.call("POST", MAPS, {"metadata": json.loads(text)}), 400, 403, 422)
    assert not any(f"/{victim.id}-" in one.uri or "kube-system" in one.uri for one in arrived())


@case(18)
@pytest.mark.parametrize(
    "body",
    [
        {"kind": "List", "apiVersion": "v1", "items": [{"kind": "Secret", "metadata": {"name": "x"}}]},
        {"kind": "ConfigMapList", "apiVersion": "v1", "items": []},
        {"kind": "Status", "apiVersion": "v1", "status": "Success"},
        {"kind": "Table", "apiVersion": "meta.k8s.io/v1", "rows": []},
        {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": {"name": "x"}},
        {"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "x"}},
        {"kind": "ConfigMap", "apiVersion": "apps/v1", "metadata": {"name": "x"}},
    ],
)
def test_a_body_of_another_kind_arrives_nowhere(attacker: Attacker, arrived: Witness, body: dict[str, Any]) -> None:
    is_status(attacker.call("POST", MAPS, body), 400)
    assert arrived() == []


@case(18)
@pytest.mark.parametrize(
    "raw",
    [
        b'{"metadata":{"name":"a"}}{"metadata":{"name":"b"}}',
        b'{"metadata":{"name":"a"}}\n---\n{"metadata":{"name":"b"}}',
        b'{"metadata":{"name":"a","namespace":"default"},"metadata":{"name":"a","namespace":"kube-system"}}',
        b'{"Metadata":{"name":"a"},"metadata":{"name":"b","namespace":"kube-system"}}',
        b'\xef\xbb\xbf{"metadata":{"name":"a","namespace":"kube-system"}}',
        b'{"metadata":{"name":"a\\u0000"}}',
    ],
)
def test_a_body_that_can_be_read_in_two_ways_is_refused(attacker: Attacker, arrived: Witness, raw: bytes) -> None:
    is_status(attacker.call("POST", MAPS, raw), 400, 422)
    assert not any("kube-system" in one.uri for one in arrived())


@case(18)
@pytest.mark.parametrize("key", [b"name", b"\\u006eame"])
def test_a_key_that_stands_twice_counts_as_on_the_host(attacker: Attacker, arrived: Witness, key: bytes) -> None:
    """The last one, with a warning; refused where the client asks for it (fieldValidation=Strict)."""
    raw = b'{"metadata":{"name":"first","' + key + b'":"second"}}'
    is_status(attacker.call("POST", f"{MAPS}?fieldValidation=Strict", raw), 400)
    assert arrived() == []
    answer = attacker.call("POST", MAPS, raw)
    assert answer.code in (201, 409)
    assert answer.code == 409 or answer.document["metadata"]["name"] == "second"
    assert "duplicate field" in answer.headers["Warning"]


@case(18)
def test_a_foreign_uid_is_a_conflict_and_changes_nothing(attacker: Attacker, victim: Victim) -> None:
    uid = victim.client.call("GET", f"/api/v1/namespaces/{VAULT}/configmaps/plans").document["metadata"]["uid"]
    attacker.call("POST", MAPS, {"metadata": {"name": "mine"}})
    is_status(attacker.call("PUT", f"{MAPS}/mine", {"metadata": {"name": "mine", "uid": uid}}), 409)
    options = {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"uid": uid}}
    is_status(attacker.call("DELETE", f"{MAPS}/mine", options), 409)
    assert attacker.call("DELETE", f"{MAPS}/mine").code == 200


@case(18)
def test_an_owner_in_another_tenant_owns_nothing(attacker: Attacker, victim: Victim) -> None:
    """The host's garbage collector removes what names an absent owner: the attacker's own object, nothing else."""
    found = victim.client.call("GET", f"/api/v1/namespaces/{VAULT}/configmaps/plans").document["metadata"]
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "plans", "uid": found["uid"]}
    body = {"metadata": {"name": "owned", "ownerReferences": [{**owner, "blockOwnerDeletion": True}]}}
    assert attacker.call("POST", MAPS, body).code in (201, 403)
    attacker.call("DELETE", f"{MAPS}/owned?propagationPolicy=Foreground")
    after = victim.client.call("GET", f"/api/v1/namespaces/{VAULT}/configmaps/plans")
    assert after.document["metadata"]["uid"] == found["uid"]


def bombs() -> dict[str, tuple[str, bytes, str]]:
    """By name: method, body, content type."""
    yaml_bomb = b"a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + b"".join(
        f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]\n".encode() for n in range(1, 12)
    )
    operations = [{"op": "add", "path": "/data/x", "value": "y"}] * 10_000
    return {
        "nested lists": ("POST", b"[" * 200_000, "application/json"),
        "nested objects": ("POST", b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "application/json"),
        "yaml aliases": ("POST", yaml_bomb, "application/yaml"),
        "yaml nesting": ("POST", b"a: " + b"[" * 20_000, "application/yaml"),
        "many keys": ("POST", b'{"data":{' + b",".join(b'"%07d":""' % n for n in range(290_000)) + b"}}", ""),
        "ten thousand operations": ("PATCH", json.dumps(operations).encode(), "application/json-patch+json"),
        "a long number": ("POST", b'{"metadata":{"name":"a"},"data":' + b"9" * 2_000_000 + b"}", ""),
        "too much": ("POST", b" " * (3 * 2**20 + 1), ""),
    }


@case(25)
@pytest.mark.parametrize("name", list(bombs()))
def test_a_body_that_costs_is_refused_in_time(attacker: Attacker, name: str) -> None:
    method, raw, media = bombs()[name]
    start = time.monotonic()
    answer = attacker.call(
        method, MAPS if method == "POST" else f"{MAPS}/x", raw, headers={"Content-Type": media} if media else {}
    )
    assert time.monotonic() - start < PATIENCE
    is_status(answer, 400, 404, 413, 415, 422)


@case(25)
@pytest.mark.parametrize(
    "selector",
    ["a in (" + ",".join(f"v{n}" for n in range(2000)) + ")", ",".join(f"k{n}=v" for n in range(1500)), "(" * 5000],
)
def test_a_selector_that_costs_is_answered_in_time(attacker: Attacker, selector: str) -> None:
    start = time.monotonic()
    answer = attacker.call("GET", f"{MAPS}?labelSelector={selector.replace(' ', '%20')}")
    assert time.monotonic() - start < PATIENCE
    assert answer.code in (200, 400, 414, 431)


RBAC = "/apis/rbac.authorization.k8s.io/v1"
REVIEWS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"


@pytest.fixture
def made(attacker: Attacker) -> Iterator[Callable[[str, dict[str, Any]], None]]:
    """Makes objects of the attacker's for one test."""
    paths: list[str] = []

    def make(collection: str, body: dict[str, Any]) -> None:
        assert attacker.call("POST", f"{RBAC}/{collection}", body).code == 201
        paths.append(f"{RBAC}/{collection}/{body['metadata']['name']}")

    yield make
    for path in paths:
        attacker.call("DELETE", path)


def bound(name: str, *subjects: dict[str, str]) -> dict[str, Any]:
    """A binding to the ClusterRole of the same name."""
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}
    return {"metadata": {"name": name}, "roleRef": reference, "subjects": list(subjects)}


def subject(kind: str, name: str) -> dict[str, str]:
    return {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name}


@case(25)
@pytest.mark.parametrize("words", [60, 1000])
def test_a_role_of_very_many_combinations_is_judged_in_time(
    attacker: Attacker, reader: Attacker, made: Callable[[str, dict[str, Any]], None], words: int
) -> None:
    """Sixty words of each sort took nine seconds and a refusal of 1.4 MB, a thousand would have taken half a day."""
    rule = {"verbs": ["create"], "apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles"]}
    made("clusterroles", {"metadata": {"name": "costs"}, "rules": [rule]})
    made("clusterrolebindings", bound("costs", subject("User", "bob")))
    long = {key: [f"{key[0].lower()}{n}" for n in range(words)] for key in ("verbs", "apiGroups", "resources")}
    start = time.monotonic()
    answer = reader.call("POST", f"{RBAC}/namespaces/default/roles", {"metadata": {"name": "x"}, "rules": [long]})
    assert time.monotonic() - start < PATIENCE
    is_status(answer, 403)
    assert len(answer.body) < 100_000


@case(25)
def test_a_review_about_one_group_very_many_times_is_answered_in_time(
    attacker: Attacker, made: Callable[[str, dict[str, Any]], None]
) -> None:
    made("clusterroles", {"metadata": {"name": "costs"}, "rules": []})
    made(
        "clusterrolebindings",
        bound("costs", *(subject("Group", f"g{n}") for n in range(1000)), subject("Group", "dev")),
    )
    asked = {"verb": "get", "resource": "pods", "namespace": "default"}
    start = time.monotonic()
    answer = attacker.call("POST", REVIEWS, {"spec": {"groups": ["dev"] * 20_000, "resourceAttributes": asked}})
    assert time.monotonic() - start < PATIENCE
    assert (answer.code, answer.document["status"]["allowed"]) == (201, False)


@case(25)
def test_roles_that_all_aggregate_each_other_hold_nobody_up(
    attacker: Attacker, made: Callable[[str, dict[str, Any]], None]
) -> None:
    """Eight took thirteen seconds, each more ten times as long."""
    select = {"clusterRoleSelectors": [{"matchLabels": {"costs": "y"}}]}
    for n in range(20):
        metadata = {"name": f"costs{n}", "labels": {"costs": "y"}}
        made("clusterroles", {"metadata": metadata, "aggregationRule": select, "rules": []})
    made("clusterrolebindings", bound("costs0", subject("User", "bob")))
    asked = {"verb": "get", "resource": "pods", "namespace": "default"}
    start = time.monotonic()
    answer = attacker.call("POST", REVIEWS, {"spec": {"user": "bob", "resourceAttributes": asked}})
    assert time.monotonic() - start < PATIENCE
    assert (answer.code, answer.document["status"]["allowed"]) == (201, False)
