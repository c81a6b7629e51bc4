"""What is kept ready is bounded for all policies together, and for each."""

import pytest

from tests.core.rbac_documents import DEV, GROUP, USER, bind, pods, role, rule
from vcproxy.core import rbac_defaults, rbac_policy
from vcproxy.core.rbac import Attributes, Rule, User
from vcproxy.core.rbac_index import RuleIndex
from vcproxy.core.rbac_policy import Policy
from vcproxy.core.rbac_ready import KEY_BYTES, SHARE, Held, Ready

INDEX = RuleIndex([Rule.of(rule("get", "pods"))])


def held(number: int = 0, space: str = "") -> Held:
    return User(f"u{number}"), space


def test_the_oldest_of_a_policy_goes_where_it_has_its_share() -> None:
    ready = Ready(SHARE * 3 * INDEX.size)
    for number in range(5):
        ready.keep(1, held(number), INDEX, 0)
    assert [number for number in range(5) if ready.get(1, held(number))] == [2, 3, 4]
    assert ready.size == 3 * INDEX.size


def test_all_policies_together_stay_within_the_bound() -> None:
    limit = SHARE * INDEX.size
    ready = Ready(limit)
    for policy in range(3 * SHARE):
        ready.keep(policy, held(), INDEX, 0)
        assert ready.size <= limit
    assert [policy for policy in range(3 * SHARE) if ready.get(policy, held())] == [*range(2 * SHARE, 3 * SHARE)]


def test_a_policy_that_another_took_the_place_of_takes_no_room() -> None:
    ready = Ready()
    ready.keep(1, held(), INDEX, 3)
    ready.keep(2, held(), INDEX, 3)
    ready.forget(1)
    assert (ready.get(1, held()), ready.get(2, held()), ready.size) == (None, INDEX, INDEX.size + 3)


def test_what_still_counts_is_handed_on() -> None:
    ready = Ready()
    for space in ("", "web", "db"):
        ready.keep(1, held(0, space), INDEX, 0)
    ready.hand_on(1, 2, lambda one: one[1] != "web")
    assert [space for space in ("", "web", "db") if ready.get(2, held(0, space))] == ["", "db"]
    assert (ready.get(1, held()), ready.size) == (None, 2 * INDEX.size)


def test_one_that_takes_more_than_the_share_is_kept_alone() -> None:
    ready = Ready(SHARE)
    for number in range(3):
        ready.keep(1, held(number), INDEX, 0)
    assert [number for number in range(3) if ready.get(1, held(number))] == [2]
    assert ready.size == INDEX.size


def test_two_users_of_very_many_pairs_are_put_in_order_once_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """Past 8 MiB nothing was kept: all rules were put in order anew for each question."""
    verbs, made = " ".join(f"v{n}" for n in range(8)), []
    rules = [rule(verbs, " ".join(f"r{number}-{n}" for n in range(8))) for number in range(1_500)]
    policy = Policy.of([role("r", *rules), bind("r", USER, DEV), bind("r", USER, DEV, space="web")], base())
    build = RuleIndex
    monkeypatch.setattr(rbac_policy, "RuleIndex", lambda *given: made.append(1) or build(*given))  # type: ignore[func-returns-value]
    for _ in range(3):
        for user in (User("ann"), User("bob", ("dev",))):
            assert policy.allows(user, Attributes("v1", resource="r1499-7", namespace="web"))
            assert not policy.allows(user, Attributes("v8", resource="r1499-7", namespace="web"))
    assert len(made) == 4


def test_what_was_put_in_order_for_policies_of_before_does_not_grow_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rbac_policy, "STALE", 2_000)
    policy, words = Policy(base()), " ".join(f"w{n}" for n in range(100))
    for number in range(50):
        policy = policy.put(role("r", rule(f"v{number}", words, names=words))).put(bind("r", USER))
        assert policy.allows(User("ann"), Attributes(f"v{number}", resource="w1", name="w2"))
        assert policy._postings.words < 2_000 + 300


def test_long_keys_are_not_kept() -> None:
    ready = Ready()
    ready.keep(1, held(), INDEX, KEY_BYTES + 1)
    assert ready.size == 0


def base() -> Policy:
    return Policy.of(document for items in rbac_defaults.documents().values() for document in items)


def test_nothing_that_a_client_chooses_is_kept() -> None:
    """Names, paths and namespaces were: up to 4,096 characters each, some 8 GB for one tenant without any right."""
    policy = Policy.of([role("r", rule("get", "pods")), bind("r", USER, space="web")], base())
    ann, sizes = User("ann", ("dev", "system:authenticated")), set()
    for number in range(100):
        long = f"{number}{'x' * 1000}"
        policy.allows(ann, pods("get", long, long))
        policy.allows(ann, Attributes("get", path=f"/{long}"))
        policy.allows(ann, pods("get", "web", long))
        policy.decide(ann, Attributes(long, long, long, long, long, long))
        sizes.add(policy._ready.size)
    assert len(sizes) == 1


def test_one_user_with_very_many_groups_is_answered_and_not_kept() -> None:
    policy = Policy.of([role("r", rule("get", "pods")), bind("r", DEV, USER)], base())
    many = User("ann", tuple(f"group-{n}" for n in range(20_000)))
    assert policy.decide(many, pods("get")).reason.endswith('to User "ann"')
    assert policy._ready.size == 0


class Counted(str):
    """A group that counts how often it is compared."""

    compared = 0
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        Counted.compared += 1
        return str.__eq__(self, other)


def test_a_group_that_is_named_twenty_thousand_times_is_looked_up_once() -> None:
    """For each repeat all bindings were looked up, and for each of their subjects all repeats: hours."""
    bindings = [bind("r", *({"kind": "Group", "name": f"g{n}", "apiGroup": GROUP} for n in range(200)), DEV)]
    bindings += [{**bindings[0], "metadata": {"name": f"b{n}"}} for n in range(20)]
    policy = Policy.of([role("r", rule("get", "pods")), *bindings], base())
    asked = User("", (Counted("dev"),) * 20_000)
    assert policy.decide(asked, pods("get")).reason.endswith('"b-r" of ClusterRole "r" to Group "dev"')
    assert not policy.decide(asked, pods("delete")).allowed
    assert Counted.compared < 10 * 20_000
