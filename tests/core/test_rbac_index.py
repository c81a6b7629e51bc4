"""Rules in order answer as the rules do one by one; few look-ups, however many they are."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.rbac_documents import pods, rule
from vcproxy.core import rbac_index, rbac_postings
from vcproxy.core.rbac import Attributes, Rule
from vcproxy.core.rbac_index import RuleIndex
from vcproxy.core.rbac_postings import Postings

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


@pytest.fixture(
    params=[(rbac_index.NARROW, rbac_index.ROOM, rbac_postings.BLOCK), (0, 0, 2), (rbac_index.NARROW, 6, 2)],
    ids=["in a table", "by words", "both ways"],
    autouse=True,
)
def narrow(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rbac_index, "NARROW", request.param[0])
    monkeypatch.setattr(rbac_index, "ROOM", request.param[1])
    monkeypatch.setattr(rbac_postings, "BLOCK", request.param[2])


@given(RULES, ASKED)
def test_it_allows_what_one_of_the_rules_does(rules: list[Rule], asked: Attributes) -> None:
    assert RuleIndex(rules).allows(asked) is any(one.allows(asked) for one in rules)


@given(RULES, RULES, ASKED)
def test_what_another_one_holds_beside_it_does_not_count(
    mine: list[Rule], others: list[Rule], asked: Attributes
) -> None:
    shared = Postings()
    found = RuleIndex(mine, shared)
    RuleIndex(others, shared)
    assert found.allows(asked) is any(one.allows(asked) for one in mine)


@given(RULES, RULES)
def test_it_holds_no_rule_whole_that_none_of_the_rules_covers(rules: list[Rule], wanted: list[Rule]) -> None:
    index = RuleIndex(rules)
    for found in (one for one in wanted if one.resources):
        one = Rule(found.verbs, found.groups, found.resources, found.names)
        assert not index.has_all(one) or any(own.covers(one) for own in rules)


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


def test_its_size_has_a_bound_however_many_pairs_there_are() -> None:
    """4,000 rules of 512 words each took 50 MB, more than is kept of one policy: it was made anew at each question."""
    verbs, kinds = " ".join(f"v{n}" for n in range(8)), " ".join(f"r{n}" for n in range(8))
    found = RuleIndex([Rule.of(rule(f"{verbs} {n}", kinds)) for n in range(4_000)])
    assert found.size < 2**21
    assert found.allows(Attributes("3999", resource="r7"))
    assert not found.allows(Attributes("4000", resource="r7"))
