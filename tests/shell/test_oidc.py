"""ID tokens: whose they are, which are refused, and what is remembered."""

from typing import Any

import pytest

from tests.shell.oidcs import EC, NOW, OTHER, RSA, URL, Provider, entry, public, unsigned
from vcproxy.access import oidc as module
from vcproxy.access.authenticator import Credential
from vcproxy.access.fetching import Fetcher
from vcproxy.access.oidc import OidcAuthenticator
from vcproxy.access.trust import parse
from vcproxy.core.caller import Caller
from vcproxy.core.names import TenantId
from vcproxy.core.status import ApiError
from vcproxy.core.view import Phase, TenantView

ACME, GLOBEX = TenantId("acme"), TenantId("globex")


class Tenants:
    def tenant(self, tenant: TenantId) -> TenantView | None:
        return TenantView(tenant, f"uid-{tenant}", Phase.ACTIVE) if tenant in (ACME, GLOBEX) else None


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Provider:
    made = Provider()

    async def ask(self: Fetcher, url: str, body: bytes | None = None) -> Any:
        return await made.ask(url)

    monkeypatch.setattr(Fetcher, "ask", ask)
    return made


def of_acme(**more: Any) -> OidcAuthenticator:
    made = OidcAuthenticator(Tenants())
    made.update(ACME, parse([entry(**more)]))
    return made


async def refused(one: OidcAuthenticator, token: str, tenant: str = "", now: float = NOW) -> None:
    with pytest.raises(ApiError) as caught:
        await one.authenticate(Credential(token, tenant=tenant), now)
    assert (caught.value.status.code, caught.value.status.message) == (401, "Unauthorized")


async def test_a_token_of_a_tenants_issuer_names_tenant_user_and_groups(provider: Provider) -> None:
    caller = await of_acme().authenticate(Credential(provider.token(jti="7")), NOW)
    assert caller == Caller(ACME, "uid-acme", "oidc:ann", ("devs",), credential_id="7", expires=NOW + 600)


@pytest.mark.parametrize(
    ("key", "kid", "algorithm"),
    [(RSA, "rsa", "RS256"), (RSA, None, "PS384"), (EC, "ec", "ES256"), (RSA, "rsa", "RS512")],
)
async def test_public_key_algorithms_are_believed(
    provider: Provider, key: Any, kid: str | None, algorithm: str
) -> None:
    assert await of_acme().authenticate(Credential(provider.token(key, kid, algorithm)), NOW)


@pytest.mark.parametrize("token", ["", "opaque", "a.b.c", unsigned({"alg": "RS256"}, {"iss": "https://other"})])
async def test_what_is_from_no_known_issuer_is_left_to_others(provider: Provider, token: str) -> None:
    assert await of_acme().authenticate(Credential(token), NOW) is None
    assert provider.asked == []


CLAIMS = {"iss": URL, "aud": "vcproxy", "sub": "ann", "exp": NOW + 600}


@pytest.mark.parametrize(
    "bad",
    [
        {"aud": "other"},
        {"aud": None},
        {"aud": ["other", 7]},
        {"exp": NOW},
        {"exp": None},
        {"exp": "soon"},
        {"nbf": NOW + 100},
        {"iat": NOW + 100},
        {"sub": None},
        {"sub": 7},
        {"groups": {"a": 1}},
        {"groups": [["a"]]},
        {"groups": ["system:masters"]},
        {"groups": ["vcproxy:x"]},
    ],
)
async def test_claims_that_are_for_others_or_not_now_or_make_no_user_are_refused(
    provider: Provider, bad: dict[str, Any]
) -> None:
    await refused(of_acme(), provider.token(**bad))


async def test_other_keys_and_the_public_key_as_a_secret_are_refused(provider: Provider) -> None:
    await refused(of_acme(), provider.token(OTHER))
    secret = str(public(RSA, "rsa")["n"]) * 2
    await refused(of_acme(), provider.token(secret, "rsa", "HS256"))
    await refused(of_acme(), unsigned({"alg": "none"}, CLAIMS))
    await refused(of_acme(), unsigned({"alg": "ES256", "kid": "rsa"}, CLAIMS, b"x" * 64))
    await refused(of_acme(), unsigned({"alg": ["RS256"], "kid": "rsa"}, CLAIMS))
    good = provider.token()
    await refused(of_acme(), good[:-4] + "AAAA")


async def test_no_address_in_a_token_is_ever_asked(provider: Provider) -> None:
    evil = "https://evil.example.com/keys"
    header = {"alg": "RS256", "kid": "made-up", "jku": evil, "x5u": evil, "jwk": public(OTHER, "made-up")}
    await refused(of_acme(), unsigned(header, CLAIMS, b"x" * 256))
    assert all(url.startswith(URL) for url in provider.asked)


async def test_a_claim_that_stands_twice_is_refused(provider: Provider) -> None:
    header, _, signature = provider.token().split(".")
    twice = unsigned({}, {}).split(".")[1]
    import base64

    raw = b'{"iss":"https://issuer.example.com","sub":"a","sub":"b"}'
    twice = base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
    assert await of_acme().authenticate(Credential(f"{header}.{twice}.{signature}"), NOW) is None


async def test_a_verified_token_is_remembered_but_never_past_its_end(provider: Provider) -> None:
    one = of_acme()
    credential = Credential(provider.token(exp=NOW + 100))
    assert one.recall(credential, NOW) is None
    caller = await one.authenticate(credential, NOW)
    assert one.recall(credential, NOW + 99) == caller
    assert one.recall(credential, NOW + 100) is None
    await refused(one, credential.token, now=NOW + 100)


async def test_a_refused_token_is_refused_from_memory_for_a_while(provider: Provider) -> None:
    one = of_acme()
    token = provider.token(OTHER)
    await refused(one, token)
    with pytest.raises(ApiError):
        one.recall(Credential(token), NOW + 1)
    assert one.recall(Credential(token), NOW + 11) is None


async def test_both_caches_are_bounded(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CACHE_LIMIT", 2)
    monkeypatch.setattr(module, "REFUSED_LIMIT", 2)
    one = of_acme()
    for index in range(4):
        await one.authenticate(Credential(provider.token(jti=str(index))), NOW)
        await refused(one, provider.token(OTHER, jti=str(index)))
    assert (len(one._known), len(one._refused)) == (2, 2)


async def test_an_issuer_taken_away_ends_what_was_believed_through_it(provider: Provider) -> None:
    one = of_acme()
    credential = Credential(provider.token())
    await one.authenticate(credential, NOW)
    one.update(ACME, [])
    assert one.recall(credential, NOW) is None
    assert await one.authenticate(credential, NOW) is None


async def test_an_issuer_taken_away_while_it_is_asked_counts_no_more(provider: Provider) -> None:
    one = of_acme()
    credential = Credential(provider.token())
    asked = provider.ask

    async def taken_away(url: str) -> Any:
        found = await asked(url)
        one.update(ACME, [])
        return found

    provider.ask = taken_away  # type: ignore[method-assign]
    assert await one.authenticate(credential, NOW) is None
    assert one.recall(credential, NOW) is None


async def test_an_issuer_of_two_tenants_needs_the_tenant_in_the_address(provider: Provider) -> None:
    one = of_acme()
    one.update(GLOBEX, parse([entry()]))
    token = provider.token()
    await refused(one, token)
    for tenant in (ACME, GLOBEX):
        caller = await one.authenticate(Credential(token, tenant=tenant), NOW)
        assert caller is not None
        assert (caller.tenant, caller.tenant_uid) == (tenant, f"uid-{tenant}")


async def test_under_strange_and_unknown_tenants_a_token_is_refused_alike(provider: Provider) -> None:
    one = of_acme()
    await refused(one, provider.token(), "globex")
    await refused(one, provider.token(), "nobody")


def shared(provider: Provider) -> OidcAuthenticator:
    extra = {"extra": [{"key": "vcproxy.io/tenant", "valueExpression": "claims.?tenants.orValue([])"}]}
    made = entry()
    made["claimMappings"] |= extra
    return OidcAuthenticator(Tenants(), parse([made]))


async def test_an_issuer_for_all_goes_by_the_address(provider: Provider) -> None:
    one = shared(provider)
    await refused(one, provider.token())
    await refused(one, provider.token(), "nobody")
    caller = await one.authenticate(Credential(provider.token(), tenant="globex"), NOW)
    assert caller is not None
    assert caller.tenant == GLOBEX


async def test_an_extra_names_the_tenants_of_a_user(provider: Provider) -> None:
    one = shared(provider)
    await refused(one, provider.token(tenants=["acme"]), "globex")
    caller = await one.authenticate(Credential(provider.token(tenants=["acme"])), NOW)
    assert caller is not None
    assert (caller.tenant, dict(caller.extra)) == (ACME, {})
