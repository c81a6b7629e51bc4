"""Refresh tokens: good for one exchange, and what they give ends with them."""

import pytest

from vcproxy.access.authenticator import Credential, LiveRevocations, TokenAuthenticator
from vcproxy.access.keys import Keys
from vcproxy.access.records import TokenRecords
from vcproxy.access.refresh import LIFE, Refresher
from vcproxy.access.tokens import REFRESH_AUDIENCE, IssuedToken, Issuer
from vcproxy.core.names import TenantId
from vcproxy.core.status import ApiError

NOW = 1_700_000_000.0
ACME = TenantId("acme")
KEYS = Keys.from_secret(Keys.generate())


def made(life: float = 86400.0) -> tuple[str, IssuedToken]:
    return Issuer(KEYS).issue(ACME, "uid-1", "ann", ["devs"], life, NOW, audience=REFRESH_AUDIENCE)


def refused(refresher: Refresher, token: str, now: float = NOW) -> None:
    for ask in (refresher.holder, refresher.exchange):
        with pytest.raises(ApiError) as caught:
            ask(token, now)
        assert caught.value.status.code == 401


async def test_a_refresh_token_gives_a_short_lived_token_of_the_same_user_and_id() -> None:
    token, record = made()
    answer = Refresher(lambda: KEYS, LiveRevocations()).exchange(token, NOW)
    assert (answer["kind"], answer["apiVersion"]) == ("ExecCredential", "client.authentication.k8s.io/v1")
    short = answer["status"]["token"]
    caller = await TokenAuthenticator(lambda: KEYS, LiveRevocations()).authenticate(Credential(short), NOW)
    assert caller is not None
    assert (caller.tenant, caller.user, caller.groups) == (ACME, "ann", ("devs",))
    assert (caller.credential_id, caller.expires) == (record.id, NOW + LIFE)


async def test_neither_token_does_the_others_work() -> None:
    refresher = Refresher(lambda: KEYS, LiveRevocations())
    token, _ = made()
    with pytest.raises(ApiError):
        await TokenAuthenticator(lambda: KEYS, LiveRevocations()).authenticate(Credential(token), NOW)
    refused(refresher, refresher.exchange(token, NOW)["status"]["token"])
    refused(refresher, "")
    refused(refresher, "not.a.token")


def test_no_token_outlives_the_refresh_token() -> None:
    refresher = Refresher(lambda: KEYS, LiveRevocations())
    token, record = made(1000.0)
    assert refresher.exchange(token, NOW + 900)["status"]["expirationTimestamp"].startswith("2023-11-14T22:30:00")
    refused(refresher, token, record.expires)
    refused(refresher, token, NOW - 100)
    refused(Refresher(lambda: None, LiveRevocations()), token)


async def test_revoking_the_refresh_token_ends_what_it_gave() -> None:
    revocations = LiveRevocations()
    refresher = Refresher(lambda: KEYS, revocations)
    token, record = made()
    short = Credential(refresher.exchange(token, NOW)["status"]["token"])
    authenticator = TokenAuthenticator(lambda: KEYS, revocations)
    await authenticator.authenticate(short, NOW)
    revocations.update(ACME, TokenRecords().add(record, NOW).revoke(record.id, NOW).data())
    refused(refresher, token)
    with pytest.raises(ApiError):
        authenticator.recall(short, NOW)


async def test_revoking_all_tokens_of_a_tenant_ends_those_of_before_only() -> None:
    revocations = LiveRevocations()
    authenticator = TokenAuthenticator(lambda: KEYS, revocations)
    issuer = Issuer(KEYS)
    old, record = issuer.issue(ACME, "uid-1", "ann", [], 600, NOW)
    unrecorded, _ = issuer.issue(ACME, "uid-1", "bob", [], 600, NOW)
    records = TokenRecords().add(record, NOW).revoke_all(NOW + 1)
    revocations.update(ACME, TokenRecords.parse(records.data()).data())
    for token in (old, unrecorded):
        with pytest.raises(ApiError):
            await authenticator.authenticate(Credential(token), NOW + 2)
    new, _ = issuer.issue(ACME, "uid-1", "ann", [], 600, NOW + 2)
    assert await authenticator.authenticate(Credential(new), NOW + 2)
