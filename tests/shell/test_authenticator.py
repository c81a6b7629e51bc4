"""The authenticator: caches that never make a token live longer."""

import pytest

from vcproxy.access import authenticator as module
from vcproxy.access.authenticator import Credential, LiveRevocations, TokenAuthenticator
from vcproxy.access.keys import Keys
from vcproxy.access.records import TokenRecords
from vcproxy.access.tokens import Issuer, VerifiedToken, verify
from vcproxy.core.caller import Caller
from vcproxy.core.names import TenantId
from vcproxy.core.status import ApiError

NOW = 1_700_000_000.0
ACME = TenantId("acme")
DATA = Keys.generate()
KEYS = Keys.from_secret(DATA)


@pytest.fixture
def verifications(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    seen: list[str] = []

    def counted(token: str, keys: Keys) -> VerifiedToken:
        seen.append(token)
        return verify(token, keys)

    monkeypatch.setattr(module, "verify", counted)
    return seen


def issue(life: float = 3600, now: float = NOW, keys: Keys = KEYS) -> str:
    return Issuer(keys).issue(ACME, "uid-1", "ann", ["tenant:admin"], life, now)[0]


def asked(authenticator: TokenAuthenticator, token: str, now: float = NOW) -> Caller | None:
    """The answer of an authenticator that waits for nothing."""
    known = authenticator.recall(Credential(token), now)
    if known is not None:
        return known
    with pytest.raises(StopIteration) as answer:
        authenticator.authenticate(Credential(token), now).send(None)
    found = answer.value.value
    assert found is None or isinstance(found, Caller)
    return found


def tell(authenticator: TokenAuthenticator, token: str, now: float) -> Caller:
    caller = asked(authenticator, token, now)
    assert caller is not None
    return caller


def refused(authenticator: TokenAuthenticator, token: str, now: float = NOW) -> None:
    with pytest.raises(ApiError) as caught:
        asked(authenticator, token, now)
    assert (caught.value.status.code, caught.value.status.message) == (401, "Unauthorized")


def authenticator(revocations: LiveRevocations | None = None, **limits: int) -> TokenAuthenticator:
    return TokenAuthenticator(lambda: KEYS, revocations or LiveRevocations(), **limits)


def test_a_good_token_names_its_caller(verifications: list[str]) -> None:
    token, record = Issuer(KEYS).issue(ACME, "uid-1", "ann", ["tenant:admin"], 3600, NOW)
    mine = authenticator()
    expected = Caller(ACME, "uid-1", "ann", ("tenant:admin",), credential_id=record.id, expires=record.expires)
    assert [tell(mine, token, NOW) for _ in range(3)] == [expected] * 3
    assert verifications == [token]


def test_a_remembered_token_ends_at_its_expiry(verifications: list[str]) -> None:
    token = issue(life=100)
    mine = authenticator()
    tell(mine, token, NOW + 99.9)
    refused(mine, token, NOW + 100)
    refused(mine, token, NOW + 101)
    assert verifications == [token]


def test_a_token_of_the_future_is_refused_now_and_good_later() -> None:
    mine = authenticator()
    token = issue(now=NOW + 120)
    refused(mine, token)
    assert tell(mine, token, NOW + 120).user == "ann"


def test_a_clock_that_runs_a_little_ahead_does_no_harm() -> None:
    assert tell(authenticator(), issue(now=NOW + 30), NOW).user == "ann"


def test_a_revoked_token_is_refused_though_it_was_remembered() -> None:
    token, record = Issuer(KEYS).issue(ACME, "uid-1", "ann", [], 3600, NOW)
    revocations = LiveRevocations()
    mine = authenticator(revocations)
    tell(mine, token, NOW)
    records = TokenRecords().add(record, NOW)
    revocations.update(ACME, records.data())
    tell(mine, token, NOW)
    revocations.update(ACME, records.revoke(record.id, NOW).data())
    refused(mine, token)
    revocations.update(ACME, None)
    tell(mine, token, NOW)


def test_a_revocation_of_one_tenant_says_nothing_of_another() -> None:
    token, record = Issuer(KEYS).issue(ACME, "uid-1", "ann", [], 3600, NOW)
    revocations = LiveRevocations()
    revocations.update(TenantId("globex"), TokenRecords().add(record, NOW).revoke(record.id, NOW).data())
    assert tell(authenticator(revocations), token, NOW).tenant == ACME


def test_bad_tokens_are_verified_once(verifications: list[str]) -> None:
    mine = authenticator()
    forged = issue() + "x"
    for _ in range(3):
        refused(mine, forged)
    assert verifications == [forged]


@pytest.mark.parametrize("token", ["", "opaque", "not.a.token", "a.b", "e30.eyJpc3MiOiJvdGhlciJ9.e30", "e30.W10.e30"])
def test_what_does_not_say_that_it_is_from_vcproxy_is_left_to_others(token: str, verifications: list[str]) -> None:
    assert asked(authenticator(), token) is None
    assert verifications == []


def test_both_caches_are_bounded(verifications: list[str]) -> None:
    mine = authenticator(cache_limit=2, refused_limit=2)
    tokens = [issue() for _ in range(3)]
    for token in tokens:
        tell(mine, token, NOW)
        refused(mine, token + "x")
    assert (len(mine._verified), len(mine._refused)) == (2, 2)
    tell(mine, tokens[0], NOW)
    assert verifications.count(tokens[0]) == 2


def test_new_keys_count_at_once_and_lost_keys_refuse_at_once() -> None:
    current: list[Keys | None] = [None]
    mine = TokenAuthenticator(lambda: current[0], LiveRevocations())
    token = issue()
    refused(mine, token)
    current[0] = KEYS
    tell(mine, token, NOW)
    rotated = Keys.from_secret(Keys.rotate(DATA))
    new = issue(keys=rotated)
    refused(mine, new)
    current[0] = rotated
    tell(mine, new, NOW)
    tell(mine, token, NOW)
    current[0] = Keys.from_secret(Keys.generate())
    refused(mine, token)
    refused(mine, new)


def test_revocations_that_cannot_be_read_are_in_force_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    revocations = LiveRevocations()
    revocations.update(ACME, {"_revoked-users": '{"bob":"2030-01-01T00:00:00Z","x":"bad"}', "odd": "{"})
    refused = [revocations.refuses(ACME, "t", user, 0.0) for user in ("bob", "x", "ann")]
    assert refused == [True, True, False]
    assert "ConfigMap tokens-acme" in caplog.text
    assert "odd, _revoked-users: x" in caplog.text
