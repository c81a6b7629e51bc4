"""Nobody grants what they do not hold; e2e/test_rbac_equal.py asks a real API server the same."""

import re
from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest
from hypothesis import given

from tests.core import test_rbac_index
from tests.core.rbac_documents import ANN, GROUP, MASTER, USER, bind, policy, role, rule
from vcproxy.core import escalation
from vcproxy.core.escalation import LOOKUPS, MESSAGE
from vcproxy.core.rbac import Rule, User
from vcproxy.core.rbac_policy import Policy
from vcproxy.core.status import ApiError


def test_nobody_grants_what_they_do_not_hold() -> None:
    found = policy(role("r", rule("get list", "pods")), bind("r", USER))
    assert escalation.refusal(found, ANN, role("mine", rule("get", "pods"), space="web"), None, "") is None
    words = escalation.refusal(
        found, ANN, role("mine", rule("get delete watch", "pods secrets"), space="web"), None, ""
    )
    assert words == (
        'user "ann" (groups=["dev" "system:authenticated"]) is attempting to grant RBAC permissions not currently held:'
        "\n"
        '{APIGroups:[""], Resources:["pods"], Verbs:["delete" "watch"]}\n'
        '{APIGroups:[""], Resources:["secrets"], Verbs:["get" "delete" "watch"]}'
    )


def test_what_is_asked_for_twice_is_named_once() -> None:
    """A verb of a resource stays twice in its one line, a path is one line: as the API server's words have it."""
    document = role("mine", {"nonResourceURLs": ["/metrics"], "verbs": ["get", "get"]}, rule("get get", "pods"))
    words = escalation.refusal(policy(), ANN, document, None, "")
    assert words is not None
    assert words.splitlines()[1:] == [
        '{APIGroups:[""], Resources:["pods"], Verbs:["get" "get"]}',
        '{NonResourceURLs:["/metrics"], Verbs:["get"]}',
    ]


def test_who_may_escalate_or_bind_may_grant_anything() -> None:
    free = policy(role("r", rule("escalate bind", "roles clusterroles", GROUP)), bind("r", USER))
    assert escalation.refusal(free, ANN, role("mine", rule("*", "*", "*"), space="web"), None, "") is None
    assert escalation.refusal(free, ANN, bind("cluster-admin", USER), None, "") is None
    assert escalation.refusal(policy(), MASTER, bind("cluster-admin", USER), None, "") is None


def test_a_binding_to_more_than_one_holds_is_refused_and_one_to_nothing_not_found() -> None:
    assert "not currently held" in (escalation.refusal(policy(), ANN, bind("cluster-admin", USER), None, "") or "")
    with pytest.raises(ApiError) as caught:
        escalation.refusal(policy(), ANN, bind("nothing", USER), None, "")
    assert caught.value.status.code == 404
    assert caught.value.status.message == f'clusterrolebindings.{GROUP} "nothing" not found'


def test_owners_and_finalizers_may_change_on_what_one_could_not_write() -> None:
    old = bind("cluster-admin", USER)
    new = {**old, "metadata": {**old["metadata"], "finalizers": ["x/y"]}}
    assert escalation.refusal(policy(), ANN, new, old, "b-cluster-admin") is None


def test_an_aggregated_role_takes_everything_to_write() -> None:
    chosen: dict[str, Any] = {"aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"x": "y"}}]}}
    words = "must have cluster-admin privileges to use the aggregationRule"
    assert escalation.refusal(policy(), ANN, role("a", **chosen), None, "") == words
    admin = User("root", ("tenant:admin",))
    assert escalation.refusal(policy(), admin, role("a", **chosen), None, "") is None


def test_the_right_to_escalate_one_role_is_none_to_create_it() -> None:
    """A POST has no name in its URL, and the API server asks about that (rbac.RoleEscalationAuthorized)."""
    wanted = role("mine", rule("get", "pods"), space="web")
    found = policy(role("r", rule("escalate", "roles", GROUP, names="mine")), bind("r", USER))
    assert "not currently held" in (escalation.refusal(found, ANN, wanted, None, "") or "")
    assert escalation.refusal(found, ANN, wanted, None, "mine") is None  # a PUT or an apply that makes it
    assert "not currently held" in (escalation.refusal(found, ANN, wanted, wanted | {"rules": []}, "other") or "")


def test_the_right_to_bind_one_role_is_asked_for_with_its_name() -> None:
    found = policy(role("r", rule("bind", "clusterroles", GROUP, names="edit")), bind("r", USER))
    assert escalation.refusal(found, ANN, bind("edit", USER), None, "") is None
    assert "not currently held" in (escalation.refusal(found, ANN, bind("admin", USER), None, "b-edit") or "")


RULES = test_rbac_index.RULES


@given(RULES, RULES)
def test_what_is_missing_is_what_the_api_server_would_miss(held: list[Rule], wanted: list[Rule]) -> None:
    """validation.Covers: every rule broken down, and each part looked for in every rule that is held."""
    found = Policy.of([role("r", *(one.document() for one in held)), bind("r", USER)])
    parts = [part for one in wanted for part in broken_down(one)]
    lacking = [part for part in parts if not any(own.covers(part) for own in held)]
    assert escalation.missing(found, ANN, "", wanted) == sorted(escalation.compacted(lacking), key=str)


def broken_down(rule: Rule) -> Iterator[Rule]:
    """validation.BreakdownRule."""
    for group, resource, verb in product(rule.groups, rule.resources, rule.verbs):
        for name in rule.names or (None,):
            yield Rule((verb,), (group,), (resource,), (name,) if name is not None else ())
    for url, verb in product(rule.urls, rule.verbs):
        yield Rule((verb,), urls=(url,))


def words(mark: str, number: int) -> str:
    return " ".join(f"{mark}{n}" for n in range(number))


LONG = rule(words("v", 1000), words("r", 1000), words("g", 1000))
"""Three thousand words in one rule: a thousand million parts."""


def test_a_rule_of_very_many_parts_is_refused_without_looking_at_all_of_them() -> None:
    said = escalation.refusal(policy(), ANN, role("mine", LONG), None, "") or ""
    assert said.startswith(f"what it grants and its author does not hold as it stands has more than {LOOKUPS} ")
    urls = {"verbs": words("v", 1000).split(), "nonResourceURLs": words("/u", 1000).split()}
    assert escalation.refusal(policy(), ANN, role("mine", urls), None, "") == said


@pytest.mark.parametrize("held", [LONG, rule("*", "*", "*"), rule("*", words("r", 1000), words("g", 1000))])
def test_a_rule_of_very_many_parts_is_granted_by_who_holds_it_as_a_whole(held: dict[str, Any]) -> None:
    found = policy(role("r", held), bind("r", USER))
    assert escalation.refusal(found, ANN, role("mine", LONG), None, "") is None


@pytest.mark.parametrize("held", [rule(words("v", 1000), "*", "*"), rule("*", "*", words("g", 1000))])
def test_wildcards_that_are_held_are_left_out_before_words_are_multiplied(held: dict[str, Any]) -> None:
    """Each of them spares a factor."""
    found = policy(role("r", held), bind("r", USER))
    wanted = role("mine", rule(words("v", 10), words("r", 1000), words("g", 1000)))
    assert escalation.refusal(found, ANN, wanted, None, "") is None


def test_who_may_do_everything_may_write_any_number_of_rules() -> None:
    admin = User("root", ("tenant:admin",))
    wanted = role("mine", *(rule("get list", f"r{n}", "x") for n in range(LOOKUPS)), rule("get", urls="/a /b"))
    assert escalation.refusal(policy(), admin, wanted, None, "") is None


@pytest.mark.parametrize("wanted", [rule("get", words("r", 19_000)), rule("get", f"{'r' * 60_000} {'s' * 60_000}")])
def test_the_words_of_a_refusal_are_bounded(wanted: dict[str, Any]) -> None:
    said = escalation.refusal(policy(), ANN, role("mine", wanted), None, "") or ""
    assert "not currently held" in said
    assert len(said) < MESSAGE + 1000
    assert re.search(r"\nand [0-9]+ more$", said)


def test_words_that_are_long_count_as_many() -> None:
    """A hundred times a hundred of 10,000 characters: a refusal of 100 MB was written before it could be cut."""
    long = [f"{n}{'x' * 10_000}" for n in range(100)]
    wanted = role("mine", {"verbs": long, "apiGroups": ["x"], "resources": long})
    assert (escalation.refusal(policy(), ANN, wanted, None, "") or "").startswith("what it grants")
