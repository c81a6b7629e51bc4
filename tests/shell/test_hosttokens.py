"""The host's own word about tokens (TokenReview), and reviews that a tenant asks for."""

import asyncio
from typing import Any

import pytest

from tests.shell.accounts import ACME, ISSUER, NOW, OWN, Host, Tenants, token
from vcproxy.access.authenticator import Credential, UnreachableIssuerError
from vcproxy.access.chain import Chain
from vcproxy.access.hosttokens import DISCOVERY, HostIssuer, LocalVerifier, ReviewingVerifier
from vcproxy.access.reviewing import TokenReviewer
from vcproxy.access.serviceaccounts import ServiceAccountAuthenticator
from vcproxy.core import status
from vcproxy.core.caller import Caller
from vcproxy.core.names import TenantId
from vcproxy.core.status import ApiError

GOOD = {
    "authenticated": True,
    "audiences": [OWN],
    "user": {"username": "system:serviceaccount:acme-apps:robot", "uid": "sa-acme", "extra": {"k": ["v"]}},
}


ASKER = Caller(ACME, "uid-acme", "admin")


def asking(host: Host, *audiences: str) -> ServiceAccountAuthenticator:
    verifier = ReviewingVerifier(host, HostIssuer(host, lambda: NOW), audiences or (ISSUER,))
    return ServiceAccountAuthenticator(Tenants(), verifier, lambda: NOW)


async def test_the_host_says_who_it_is() -> None:
    host = Host()
    host.answer = GOOD
    caller = await asking(host).authenticate(Credential(token()), NOW)
    assert caller is not None
    assert (caller.user, caller.uid, caller.extra) == ("system:serviceaccount:apps:robot", "sa-acme", {"k": ("v",)})
    assert host.asked == [f"review ['{OWN}']", "acme: /api/v1/namespaces/acme-apps/serviceaccounts/robot"]


async def test_the_host_believes_its_own_answer_for_a_while_so_the_account_is_looked_at_besides() -> None:
    host = Host()
    host.answer = GOOD
    host.there.clear()
    with pytest.raises(ApiError):
        await asking(host).authenticate(Credential(token()), NOW)


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"authenticated": False},
        {**GOOD, "authenticated": False},
        {**GOOD, "error": "x"},
        {**GOOD, "audiences": []},
        {**GOOD, "audiences": ["https://globex.vcproxy.local"]},
        {**GOOD, "user": {**GOOD["user"], "username": "system:serviceaccount:globex-apps:robot"}},  # type: ignore[dict-item]
        {**GOOD, "user": {**GOOD["user"], "username": "admin"}},  # type: ignore[dict-item]
        {**GOOD, "user": {**GOOD["user"], "uid": "x"}},  # type: ignore[dict-item]
        {**GOOD, "user": "x"},
    ],
)
async def test_anything_but_a_plain_yes_is_a_no(answer: dict[str, Any]) -> None:
    host = Host()
    host.answer = answer
    with pytest.raises(ApiError) as caught:
        await asking(host).authenticate(Credential(token()), NOW)
    assert not isinstance(caught.value, UnreachableIssuerError)


async def test_the_host_is_not_asked_about_tokens_that_are_of_others_or_for_others() -> None:
    host = Host()
    host.answer = GOOD
    one = asking(host, "https://host")
    for number in range(9):
        assert await one.authenticate(Credential(token(iss=f"https://strange.example.com/{number}")), NOW) is None
    with pytest.raises(ApiError):
        await one.authenticate(Credential(token(aud=["https://host"])), NOW)
    assert host.asked == [DISCOVERY]
    assert await one.authenticate(Credential(token()), NOW)  # of the issuer that the host names
    assert await one.authenticate(Credential(token(iss="https://host")), NOW)  # of one that it had before


async def test_a_host_whose_issuer_has_no_document_is_asked() -> None:
    host = Host()
    host.answer = GOOD
    host.silent = True
    assert await asking(host, "https://host").authenticate(Credential(token()), NOW)


async def test_a_host_that_does_not_answer_has_not_said_no() -> None:
    host = Host()
    host.down = True
    with pytest.raises(UnreachableIssuerError):
        await asking(host).authenticate(Credential(token()), NOW)


class Person:
    """Knows the token `ann` of acme, `old` of whoever was acme before, and `bob` of globex."""

    def recall(self, credential: Credential, now: float) -> Caller | None:
        return None

    def reconsider(self) -> None:
        pass

    async def authenticate(self, credential: Credential, now: float) -> Caller | None:
        tenants = {"ann": ("acme", "uid-acme"), "old": ("acme", "uid-old"), "bob": ("globex", "uid-globex")}
        if credential.token not in tenants:
            raise status.unauthorized()
        tenant, uid = tenants[credential.token]
        return Caller(TenantId(tenant), uid, credential.token)


def reviewer(host: Host | None = None) -> TokenReviewer:
    host = host or Host()
    accounts = ServiceAccountAuthenticator(Tenants(), LocalVerifier(host, HostIssuer(host, lambda: NOW)), lambda: NOW)
    return TokenReviewer(Chain([Person()]), accounts, frozenset({"https://host"}))


async def test_a_review_tells_the_audiences_as_they_were_asked_for() -> None:
    one = reviewer()
    caller, audiences = await one.review(token(), ASKER, (), NOW)
    assert (caller.user, audiences) == ("system:serviceaccount:apps:robot", (OWN,))
    assert (await one.review(token(), ASKER, ("x", "https://host"), NOW))[1] == ("https://host",)
    assert (await one.review(token(aud=["vault", "y"]), ASKER, ("vault", "z"), NOW))[1] == ("vault",)
    assert await one.review("ann", ASKER, (), NOW) == (Caller(ACME, "uid-acme", "ann"), (OWN,))


@pytest.mark.parametrize(
    ("text", "audiences"),
    [
        (token("globex"), ()),
        (token("globex", aud=["vault"]), ("vault",)),
        (token(), ("vault",)),
        (token(aud=["vault"]), ()),
        ("ann", ("vault",)),
        ("bob", ()),
        ("old", ()),
        ("x", ()),
    ],
)
async def test_strangers_and_other_audiences_are_nobody(text: str, audiences: tuple[str, ...]) -> None:
    with pytest.raises(ApiError) as caught:
        await reviewer().review(text, ASKER, audiences, NOW)
    assert caught.value.status.code == 401


@pytest.mark.parametrize("audiences", [(), ("vault",)])
async def test_many_reviews_of_one_token_are_one_look_at_the_host(audiences: tuple[str, ...]) -> None:
    host = Host()
    one, text = reviewer(host), token(aud=[OWN, "vault"])
    await asyncio.gather(*(one.review(text, ASKER, audiences, NOW) for _ in range(9)))
    assert (await one.review(text, ASKER, audiences, NOW))[1] == (audiences or (OWN,))
    assert len([path for path in host.asked if "serviceaccounts" in path]) == 1
    with pytest.raises(ApiError):
        await one.review(text, ASKER, ("other",), NOW)


async def test_a_tenant_that_was_made_again_is_another() -> None:
    again = Caller(ACME, "uid-again", "admin")
    for text in ("ann", token()):
        with pytest.raises(ApiError):
            await reviewer().review(text, again, (), NOW)
