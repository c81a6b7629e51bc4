"""Nobody grants what they do not hold; e2e/test_rbac_equal.py asks a real API server the same."""

from typing import Any

import pytest

from tests.core.rbac_documents import ANN, GROUP, MASTER, USER, bind, policy, role, rule
from vcproxy.core import escalation
from vcproxy.core.rbac import User
from vcproxy.core.status import ApiError


def test_nobody_grants_what_they_do_not_hold() -> None:
    found = policy(role("r", rule("get list", "pods")), bind("r", USER))
    assert escalation.refusal(found, ANN, role("mine", rule("get", "pods"), space="web"), None) is None
    words = escalation.refusal(found, ANN, role("mine", rule("get delete watch", "pods secrets"), space="web"), None)
    assert words == (
        'user "ann" (groups=["dev" "system:authenticated"]) is attempting to grant RBAC permissions not currently held:'
        "\n"
        '{APIGroups:[""], Resources:["pods"], Verbs:["delete" "watch"]}\n'
        '{APIGroups:[""], Resources:["secrets"], Verbs:["get" "delete" "watch"]}'
    )


def test_what_is_asked_for_twice_is_named_once() -> None:
    """A verb of a resource stays twice in its one line, a path is one line: as the API server's words have it."""
    document = role("mine", {"nonResourceURLs": ["/metrics"], "verbs": ["get", "get"]}, rule("get get", "pods"))
    words = escalation.refusal(policy(), ANN, document, None)
    assert words is not None
    assert words.splitlines()[1:] == [
        '{APIGroups:[""], Resources:["pods"], Verbs:["get" "get"]}',
        '{NonResourceURLs:["/metrics"], Verbs:["get"]}',
    ]


def test_who_may_escalate_or_bind_may_grant_anything() -> None:
    free = policy(role("r", rule("escalate bind", "roles clusterroles", GROUP)), bind("r", USER))
    assert escalation.refusal(free, ANN, role("mine", rule("*", "*", "*"), space="web"), None) is None
    assert escalation.refusal(free, ANN, bind("cluster-admin", USER), None) is None
    assert escalation.refusal(policy(), MASTER, bind("cluster-admin", USER), None) is None


def test_a_binding_to_more_than_one_holds_is_refused_and_one_to_nothing_not_found() -> None:
    assert "not currently held" in (escalation.refusal(policy(), ANN, bind("cluster-admin", USER), None) or "")
    with pytest.raises(ApiError) as caught:
        escalation.refusal(policy(), ANN, bind("nothing", USER), None)
    assert caught.value.status.code == 404


def test_owners_and_finalizers_may_change_on_what_one_could_not_write() -> None:
    old = bind("cluster-admin", USER)
    new = {**old, "metadata": {**old["metadata"], "finalizers": ["x/y"]}}
    assert escalation.refusal(policy(), ANN, new, old) is None


def test_an_aggregated_role_takes_everything_to_write() -> None:
    chosen: dict[str, Any] = {"aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"x": "y"}}]}}
    words = "must have cluster-admin privileges to use the aggregationRule"
    assert escalation.refusal(policy(), ANN, role("a", **chosen), None) == words
    admin = User("root", ("tenant:admin",))
    assert escalation.refusal(policy(), admin, role("a", **chosen), None) is None
