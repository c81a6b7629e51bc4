"""Case 20: every error is one Status in the tenant's words; where the proxy decided, the host heard nothing."""

from typing import Any

import pytest

from e2e.attack.cases import case
from e2e.attack.conftest import VAULT, Attacker, Victim, Witness, is_status

pytestmark = pytest.mark.own_host

SPACES = "/api/v1/namespaces"
MAPS = f"{SPACES}/default/configmaps"


@case(20)
@pytest.mark.parametrize(
    ("code", "method", "target", "body", "headers"),
    [
        (400, "GET", "/api/v1//pods", None, {}),
        (401, "GET", MAPS, None, {"Authorization": "Bearer x"}),
        (403, "DELETE", f"{SPACES}/kube-system", None, {}),
        (404, "GET", "/apis/nope.example/v1/things", None, {}),
        (405, "PUT", MAPS, {}, {}),
        (406, "GET", MAPS, None, {"Accept": "image/png"}),
        (413, "POST", MAPS, b"x" * (3 * 2**20 + 1), {}),
        (415, "POST", MAPS, b"{}", {"Content-Type": "text/plain"}),
        (422, "POST", SPACES, {"metadata": {"name": "a" * 62}}, {}),
    ],
)
def test_a_refusal_of_the_proxy_is_one_status_and_no_request(
    attacker: Attacker, arrived: Witness, code: int, method: str, target: str, body: Any, headers: dict[str, str]
) -> None:
    is_status(attacker.call(method, target, body, headers=headers), code)
    assert arrived() == []


@case(20)
def test_a_refusal_of_the_host_comes_in_the_tenants_words(attacker: Attacker, victim: Victim) -> None:
    """What the answers may not hold is looked for after each test."""
    attacker.call("POST", MAPS, {"metadata": {"name": "here"}})
    is_status(attacker.call("GET", f"{MAPS}/absent"), 404)
    is_status(attacker.call("POST", MAPS, {"metadata": {"name": "here"}}), 409)
    is_status(attacker.call("POST", MAPS, {"metadata": {"name": "No_Name"}}), 422)
    is_status(attacker.call("PUT", f"{MAPS}/here", {"metadata": {"name": "here", "resourceVersion": "1"}}), 409)
    is_status(attacker.call("POST", SPACES, {"metadata": {"name": "default"}}), 409)
    pod = {"metadata": {"name": "p"}, "spec": {"serviceAccountName": "absent", "containers": [{"name": "a"}]}}
    is_status(attacker.call("POST", f"{SPACES}/default/pods", pod), 403, 422)


@case(20)
def test_what_is_not_there_and_what_is_anothers_are_answered_alike(attacker: Attacker, victim: Victim) -> None:
    shapes = set()
    for space in (f"{victim.id}-{VAULT}", "vcproxy-system", "absent-namespace", "vcproxy"):
        answer = attacker.call("GET", f"{SPACES}/{space}/configmaps/x")
        shapes.add((answer.code, answer.document["reason"], answer.document["message"]))
    assert len(shapes) == 1
