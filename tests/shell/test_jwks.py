"""Keys of an issuer: asked for once for all, seldom, and only where the configuration says."""

import asyncio
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.shell.oidcs import EC, RSA, URL, Provider, public
from vcproxy.access.fetching import UnreachableError
from vcproxy.access.jwks import PAUSE, REFRESH, KeySet

DISCOVERY = f"{URL}/.well-known/openid-configuration"


class Watch:
    """A clock that is set by hand."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def made(provider: Provider) -> tuple[KeySet, Watch]:
    watch = Watch()
    return KeySet(URL, DISCOVERY, provider.ask, watch), watch


async def test_all_who_wait_for_keys_wait_for_one_exchange() -> None:
    provider = Provider()
    keys, _ = made(provider)
    found = await asyncio.gather(*(keys.candidates("rsa", "RS256") for _ in range(20)))
    assert [len(one) for one in found] == [1] * 20
    assert provider.asked == [DISCOVERY, f"{URL}/jwks"]


async def test_an_unknown_key_id_asks_again_but_not_every_time() -> None:
    provider = Provider()
    keys, watch = made(provider)
    await keys.candidates("rsa", "RS256")
    for _ in range(50):
        assert await keys.candidates("made-up", "RS256") == []
    assert len(provider.asked) == 2
    provider.keys.append(public(RSA, "new"))
    watch.now += PAUSE + 1
    assert len(await keys.candidates("new", "RS256")) == 1
    assert len(provider.asked) == 4


async def test_a_withdrawn_key_ends_when_the_keys_are_asked_for_again() -> None:
    provider = Provider()
    keys, watch = made(provider)
    await keys.candidates("rsa", "RS256")
    provider.keys = [public(EC, "ec")]
    watch.now += REFRESH + 1
    assert await keys.candidates("rsa", "RS256") == []


async def test_keys_stay_while_the_issuer_cannot_be_reached() -> None:
    provider = Provider()
    keys, watch = made(provider)
    await keys.candidates("rsa", "RS256")
    provider.down = True
    watch.now += REFRESH + 1
    assert len(await keys.candidates("rsa", "RS256")) == 1


async def test_without_any_key_the_issuer_is_unreachable() -> None:
    provider = Provider()
    provider.down = True
    with pytest.raises(UnreachableError):
        await made(provider)[0].candidates("rsa", "RS256")


async def test_a_document_that_speaks_for_another_issuer_is_not_believed() -> None:
    provider = Provider()
    provider.name = "https://evil.example.com"
    with pytest.raises(UnreachableError):
        await made(provider)[0].candidates("rsa", "RS256")
    assert provider.asked == [DISCOVERY]


@pytest.mark.parametrize(
    "odd",
    [
        {"kty": "oct", "k": "c2VjcmV0", "kid": "rsa"},
        public(rsa.generate_private_key(65537, 1024), "rsa"),
        public(RSA, "rsa", use="enc"),
        public(RSA, "rsa", alg="RS512"),
        public(EC, "rsa"),
        {"kty": "RSA", "kid": "rsa", "n": "!", "e": "AQAB"},
        "text",
        None,
    ],
)
async def test_keys_that_are_weak_secret_or_for_something_else_are_left_out(odd: Any) -> None:
    provider = Provider()
    provider.keys = [odd, public(EC, "ec")]
    assert await made(provider)[0].candidates("rsa", "RS256") == []


async def test_without_a_key_id_all_keys_of_the_sort_are_candidates() -> None:
    keys, _ = made(Provider())
    assert len(await keys.candidates(None, "PS256")) == 1
    assert len(await keys.candidates(None, "ES256")) == 1
    assert await keys.candidates(None, "ES384") == []
