"""What aggregated ClusterRoles gather; e2e/test_rbac_equal.py compares with the controller itself."""

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.rbac_documents import role, rule
from vcproxy.core import requirements
from vcproxy.core.rbac import Rule
from vcproxy.core.rbac_aggregation import gathered
from vcproxy.core.rbac_roles import Role


def chosen(*labels: str, **more: str) -> dict[str, Any]:
    """An aggregationRule that selects roles by any of these labels."""
    return {"clusterRoleSelectors": [{"matchLabels": {label: "y", **more}} for label in labels]}


def made(name: str, *labels: str, rules: list[dict[str, Any]] | None = None, select: Any = None) -> Role:
    fields = {"aggregationRule": select} if select is not None else {}
    return Role.of(role(name, *rules or (), labels=dict.fromkeys(labels, "y"), **fields))


def test_roles_that_all_aggregate_each_other_cost_no_more_than_they_are() -> None:
    """Each path through them was walked once: eight took thirteen seconds, and there are 500! of 500."""
    roles = {f"r{n}": made(f"r{n}", "x", select=chosen("x")) for n in range(500)}
    roles["leaf"] = made("leaf", "x", rules=[rule("get", "pods")])
    found = gathered(roles, steps=10_000)
    assert len(found) == 500
    assert set(found.values()) == {(Rule.of(rule("get", "pods")),)}


def test_a_long_chain_is_walked_without_recursion() -> None:
    roles = {f"r{n}": made(f"r{n}", f"l{n}", select=chosen(f"l{n + 1}")) for n in range(5000)}
    roles["leaf"] = made("leaf", "l5000", rules=[rule("get", "pods")])
    assert set(gathered(roles).values()) == {(Rule.of(rule("get", "pods")),)}


def test_where_selectors_cost_too_much_no_role_gathers_anything() -> None:
    """Fifty different ones of fifty roles each: more than a thousand look-ups."""
    own, roles = [rule("list", "secrets")], {"leaf": made("leaf", "x", rules=[rule("get", "pods")])}
    for n in range(50):
        excluded = [{"key": f"v{n}", "operator": "DoesNotExist"}]
        select = {"clusterRoleSelectors": [{"matchLabels": {"x": "y"}, "matchExpressions": excluded}]}
        roles[f"r{n}"] = made(f"r{n}", "x", rules=own, select=select)
    assert set(gathered(roles).values()) == {(Rule.of(rule("get", "pods")),)}
    assert set(gathered(roles, steps=1000).values()) == {(Rule.of(rule("list", "secrets")),)}


LABELS = ("a", "b", "c")
SELECTS = st.none() | st.lists(st.sampled_from(LABELS), max_size=2).map(lambda found: chosen(*found))


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, Role]:
    """A few ClusterRoles, each with a rule of its own or none."""
    found = {}
    for name in draw(st.lists(st.sampled_from("mnopqr"), unique=True, max_size=6)):
        labels = draw(st.sets(st.sampled_from(LABELS)))
        rules = [rule("get", name)] if draw(st.booleans()) else []
        found[name] = made(name, *labels, rules=rules, select=draw(SELECTS))
    return found


def step(roles: dict[str, Role], rules: dict[str, frozenset[Rule]], name: str) -> frozenset[Rule]:
    """What the controller does with one role: the rules of all others that it selects; none are not written."""
    found = [rules[one] for one in roles if one != name and selects(roles[name], roles[one])]
    return frozenset[Rule]().union(*found) or rules[name]


def selects(one: Role, other: Role) -> bool:
    return any(all(requirements.matches(term, other.labels) for term in terms) for terms in one.selectors or ())


def reached(roles: dict[str, Role], name: str) -> set[str]:
    """The aggregated roles that one of them takes rules from, over any number of others."""
    found: set[str] = set()
    queue = [name]
    while queue:
        new = {one for one in roles if one != queue[-1] and roles[one].selectors is not None}
        new = {one for one in new if selects(roles[queue[-1]], roles[one])} - found
        queue.pop()
        found |= new
        queue.extend(new)
    return found


@given(graphs(), st.randoms(use_true_random=False))
def test_roles_gather_what_the_controller_writes_in_the_end(roles: dict[str, Role], chance: random.Random) -> None:
    """Whatever the order in which it looks at them; in a circle that order counts, but not where they wrote nothing."""
    aggregated = [name for name, one in roles.items() if one.selectors is not None]
    circular = {name for name in aggregated if name in reached(roles, name)}
    rules = {name: frozenset(() if name in circular else one.rules) for name, one in roles.items()}
    roles = {name: one if name not in circular else Role(one.labels, (), one.selectors) for name, one in roles.items()}
    for _ in range(len(roles) + 1):
        for name in chance.sample(aggregated, len(aggregated)):
            rules[name] = step(roles, rules, name)
    assert {name: frozenset(found) for name, found in gathered(roles).items()} == {
        one: rules[one] for one in aggregated
    }


@given(graphs())
def test_the_controller_would_change_nothing_more(roles: dict[str, Role]) -> None:
    found = gathered(roles)
    rules = {name: frozenset(found.get(name, one.rules)) for name, one in roles.items()}
    assert {name: step(roles, rules, name) for name in found} == {name: rules[name] for name in found}


@pytest.mark.parametrize("operator", ["Exists", "In", "NotIn", "DoesNotExist"])
def test_every_operator_chooses(operator: str) -> None:
    values = {"values": ["y"]} if operator.endswith("In") else {}
    select = {"clusterRoleSelectors": [{"matchExpressions": [{"key": "x", "operator": operator, **values}]}]}
    roles = {"all": made("all", select=select), "with": made("with", "x", rules=[rule("get", "with")])}
    roles["without"] = made("without", rules=[rule("get", "without")])
    expected = "with" if operator in ("Exists", "In") else "without"
    assert gathered(roles)["all"] == (Rule.of(rule("get", expected)),)
