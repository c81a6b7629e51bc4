"""Rules of Kubernetes RBAC: what they allow, and how they read."""

from typing import Any

import pytest

from tests.core.rbac_documents import ANN, USER, bind, pods, policy, role, rule
from vcproxy.core.rbac import Attributes, Rule


@pytest.mark.parametrize(
    ("given", "asked", "allowed"),
    [
        (rule("get", "pods"), pods("get"), True),
        (rule("get", "pods"), pods("list"), False),
        (rule("*", "pods"), pods("list"), True),
        (rule("get", "*"), pods("get"), True),
        (rule("get", "*"), pods("get", sub="log"), True),
        (rule("get", "pods"), pods("get", sub="log"), False),
        (rule("get", "pods/log"), pods("get", sub="log"), True),
        (rule("get", "*/log"), pods("get", sub="log"), True),
        (rule("get", "*/log"), pods("get"), False),
        (rule("get", "pods", groups="apps"), pods("get"), False),
        (rule("get", "pods", groups="*"), pods("get"), True),
        (rule("get", "pods", names="a b"), pods("get", name="a"), True),
        (rule("get", "pods", names="a b"), pods("get", name="c"), False),
        (rule("create", "pods", names="a"), pods("create"), False),
        (rule("get", urls="/healthz /apis/*"), Attributes("get", path="/apis/x"), True),
        (rule("get", urls="/healthz"), Attributes("get", path="/healthz/x"), False),
        (rule("get", urls="*"), Attributes("get", path="/x"), True),
        (rule("get", urls="*"), pods("get"), False),
    ],
)
def test_a_rule_allows_what_it_says_and_no_more(given: dict[str, Any], asked: Attributes, allowed: bool) -> None:
    found = policy(role("r", given), bind("r", USER))
    assert found.allows(ANN, asked) is allowed
    assert found.decide(ANN, asked).allowed is allowed


def test_rules_read_as_the_api_server_writes_them() -> None:
    made = Rule.of(rule("get", "pods", names="a"))
    assert str(made) == '{APIGroups:[""], Resources:["pods"], ResourceNames:["a"], Verbs:["get"]}'
    assert Rule.of(made.document()) == made
