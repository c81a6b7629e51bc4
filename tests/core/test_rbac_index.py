"""Rules in order answer as the rules do one by one; few look-ups, however many they are."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.rbac_documents import pods, rule
from vcproxy.core import rbac_index
from vcproxy.core.rbac import Attributes, Rule
from vcproxy.core.rbac_index import RuleIndex

VERBS, GROUPS = st.sampled_from(["get", "list", "*"]), st.sampled_from(["", "apps", "*"])
RESOURCES = st.sampled_from(["pods", "pods/log", "*/log", "*", "secrets", "*/*"])
NAMES, URLS = st.sampled_from(["", "a", "b"]), st.sampled_from(["/a", "/a*", "/a/*", "*", "/ab", "/b**", ""])


def some(values: st.SearchStrategy[str], most: int = 3) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(values, max_size=most).map(tuple)


RULES = st.lists(
    st.builds(Rule, some(VERBS), some(GROUPS), some(RESOURCES), some(NAMES, 2))
    | st.builds(lambda verbs, urls: Rule(verbs, urls=urls), some(VERBS), some(URLS)),
    max_size=5,
)
ASKED = st.one_of(
    st.builds(Attributes, VERBS, GROUPS, RESOURCES, st.sampled_from(["", "log", "*"]), st.just("web"), NAMES),
    st.builds(Attributes, VERBS, path=st.sampled_from(["/a", "/ab", "/a/b", "/b", "/b*", "", "*", "/"])),
)


@pytest.fixture(params=[rbac_index.NARROW, 0], ids=["in a table", "as sets"], autouse=True)
def narrow(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rbac_index, "NARROW", request.param)


@given(RULES, ASKED)
def test_it_allows_what_one_of_the_rules_does(rules: list[Rule], asked: Attributes) -> None:
    assert RuleIndex(rules).allows(asked) is any(one.allows(asked) for one in rules)


@given(RULES, VERBS, GROUPS, RESOURCES, st.none() | NAMES)
def test_it_holds_what_one_of_the_rules_covers(
    rules: list[Rule], verb: str, group: str, resource: str, name: Any
) -> None:
    part = Rule((verb,), (group,), (resource,), (name,) if name is not None else ())
    assert RuleIndex(rules).has(verb, group, resource, name) is any(one.covers(part) for one in rules)


@given(RULES, VERBS, URLS)
def test_it_holds_the_paths_that_one_of_the_rules_covers(rules: list[Rule], verb: str, url: str) -> None:
    assert RuleIndex(rules).has_url(verb, url) is any(one.covers(Rule((verb,), urls=(url,))) for one in rules)


def test_a_new_question_looks_at_no_rule_of_twenty_thousand(monkeypatch: pytest.MonkeyPatch) -> None:
    found = RuleIndex([Rule.of(rule("get list", "pods", names=f"n{n}")) for n in range(20_000)])
    monkeypatch.setattr(Rule, "allows", None)
    assert found.allows(pods("get", name="n19999"))
    assert not found.allows(pods("get", name="m"))


def test_its_size_grows_with_what_it_holds_and_not_with_the_product_of_words() -> None:
    words = " ".join(f"w{n}" for n in range(500))
    assert 0 < RuleIndex([Rule.of(rule(words, words, words))]).size < 2000 * rbac_index.ENTRY_BYTES
    assert RuleIndex([Rule.of(rule("get", words))]).size > RuleIndex([Rule.of(rule("get", "pods"))]).size
