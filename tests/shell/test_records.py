"""Records of issued tokens: what a ConfigMap holds, and what it refuses."""

import json

import pytest

from vcproxy.access.records import (
    LONGEST_LIFE,
    RECORD_LIMIT,
    REVOKED_USERS,
    IssuedToken,
    TokenRecords,
    rfc3339,
    seconds,
    tokens_map_name,
)
from vcproxy.core.names import TenantId


def token(name: str, *, user: str = "ann", issued: float = 100.0, expires: float = 1000.0) -> IssuedToken:
    return IssuedToken(name, user, ("tenant:admin",), issued, expires, "uid-1")


def test_records_survive_the_way_through_a_config_map() -> None:
    records = TokenRecords().add(token("a"), 100).add(token("b", issued=50.5), 100).revoke("a", 200)
    again = TokenRecords.parse(records.data())
    assert again == records
    assert [item.id for item in again.listed()] == ["b", "a"]
    assert json.loads(records.data()["a"]) == {
        "user": "ann",
        "groups": ["tenant:admin"],
        "issued": "1970-01-01T00:01:40.000000Z",
        "expires": "1970-01-01T00:16:40.000000Z",
        "revoked": "1970-01-01T00:03:20.000000Z",
        "tenantUid": "uid-1",
        "kind": "token",
    }


def test_a_revoked_token_is_refused_and_its_neighbour_is_not() -> None:
    records = TokenRecords().add(token("a"), 100).add(token("b"), 100).revoke("a", 200)
    assert records.refuses("a", "ann", 100)
    assert not records.refuses("b", "ann", 100)


def test_revoking_twice_keeps_the_first_time() -> None:
    records = TokenRecords().add(token("a"), 100).revoke("a", 200).revoke("a", 300)
    assert records.tokens["a"].revoked == 200


def test_revoking_a_user_refuses_tokens_of_before_only() -> None:
    records = TokenRecords().add(token("a"), 100).revoke_user("ann", 200.5)
    assert records.refuses("unrecorded", "ann", 200.5)
    assert not records.refuses("new", "ann", 200.501)
    assert not records.refuses("other", "bob", 100)
    assert records.tokens["a"].revoked == 200.5


def test_a_token_without_record_is_not_refused() -> None:
    assert not TokenRecords().refuses("fresh", "ann", 1.0)


def test_expired_records_go_at_the_next_write() -> None:
    records = TokenRecords().add(token("old", expires=150), 100).add(token("new"), 200)
    assert set(records.tokens) == {"new"}


def test_revoked_users_are_forgotten_when_no_token_can_be_left() -> None:
    records = TokenRecords().revoke_user("ann", 100)
    assert records.without_expired(99 + LONGEST_LIFE).revoked_users
    assert not records.without_expired(101 + LONGEST_LIFE).revoked_users


def test_what_cannot_be_read_counts_as_revoked_and_is_kept() -> None:
    records = TokenRecords.parse({"odd": "{", "list": "[]", "a": token("a").encode()})
    assert records.refuses("odd", "ann", 1.0)
    assert records.refuses("list", "ann", 1.0)
    assert not records.refuses("a", "ann", 100)
    assert records.data()["odd"] == "{"


@pytest.mark.parametrize("odd", ["bad", None, 7, "2030-01-01T00:00:00", ["2030-01-01T00:00:00Z"]])
def test_one_bad_date_leaves_all_other_revocations_in_force(odd: object) -> None:
    records = TokenRecords.parse({REVOKED_USERS: json.dumps({"bob": "2030-01-01T00:00:00Z", "x": odd})})
    assert records.refuses("t", "bob", 0.0)
    assert not records.refuses("t", "bob", seconds("2031-01-01T00:00:00Z"))
    assert records.refuses("t", "x", seconds("2099-01-01T00:00:00Z"))
    assert not records.refuses("t", "ann", 0.0)
    assert records.problems() == [f"{REVOKED_USERS}: x"]


def test_of_everybody_a_bad_date_refuses_all() -> None:
    records = TokenRecords.parse({REVOKED_USERS: '{"": "bad"}', "a": token("a").encode()})
    assert records.refuses("t", "ann", 1e11)
    assert records.refuses("a", "ann", 100)


def test_what_cannot_be_read_of_users_outlives_other_changes() -> None:
    now = seconds("2030-01-01T00:00:00Z")
    records = TokenRecords.parse({REVOKED_USERS: '{"x": "bad", "bob": "2030-01-01T00:00:00Z"}'})
    for changed in (records.revoke_user("ann", now), records.revoke_all(now), records.add(token("a"), 0)):
        again = TokenRecords.parse(changed.data())
        assert again == changed
        assert again.refuses("t", "x", 1e11)
        assert again.refuses("t", "bob", now)
    mended = records.revoke_user("x", now)
    assert (mended.problems(), mended.refuses("t", "x", now), mended.refuses("t", "x", now + 1)) == ([], True, False)


@pytest.mark.parametrize("text", ["{", "[]", '"x"', "[" * 100_000])
def test_users_that_cannot_be_read_at_all_refuse_everything_and_are_not_written_over(text: str) -> None:
    records = TokenRecords.parse({REVOKED_USERS: text})
    assert records.refuses("t", "ann", 1e11)
    assert records.add(token("a"), 0).data()[REVOKED_USERS] == text
    with pytest.raises(ValueError, match="cannot be read"):
        records.revoke_user("ann", 100)
    assert TokenRecords.parse(records.revoke_all(100).data()) == TokenRecords({}, {"": 100})


def test_a_full_map_says_so() -> None:
    full = TokenRecords({str(number): token(str(number)) for number in range(RECORD_LIMIT)})
    with pytest.raises(ValueError, match="no more can be recorded"):
        full.add(token("one-more"), 100)
    assert len("".join(full.data().values())) < 2**20


def test_revoking_what_is_not_recorded_raises() -> None:
    with pytest.raises(KeyError):
        TokenRecords().revoke("a", 1.0)


def test_times_are_rfc3339_in_utc_and_need_a_zone() -> None:
    assert seconds(rfc3339(1234.5)) == 1234.5
    assert seconds("1970-01-01T01:00:00+01:00") == 0
    with pytest.raises(ValueError, match="time zone"):
        seconds("1970-01-01T00:00:00")


def test_an_empty_map_and_no_map_are_no_records() -> None:
    assert TokenRecords.parse(None) == TokenRecords.parse({}) == TokenRecords()
    assert tokens_map_name(TenantId("acme")) == "tokens-acme"
