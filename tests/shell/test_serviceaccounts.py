"""Callers by ServiceAccount tokens of the host: who they are, when they are nobody, and what is asked of the host."""

import asyncio
from typing import Any

import pytest

from tests.shell.accounts import ACME, GLOBEX, NOW, Host, Tenants, token
from tests.shell.oidcs import OTHER, unsigned
from vcproxy.access import serviceaccounts
from vcproxy.access.authenticator import Credential, UnreachableIssuerError
from vcproxy.access.hosttokens import HostIssuer, LocalVerifier
from vcproxy.access.serviceaccounts import HARD, REFUSED_SECONDS, SOFT, ServiceAccountAuthenticator
from vcproxy.core.caller import Caller
from vcproxy.core.status import ApiError

POD = {"pod": {"name": "web-1", "uid": "pod-1"}, "node": {"name": "n1", "uid": "node-1"}, "warnafter": int(NOW) + 3607}
NO_CLAIMS: dict[str, Any] = {"kubernetes.io": None}
PODS = "/api/v1/namespaces/acme-apps/pods/web-1"
ACCOUNT = "/api/v1/namespaces/acme-apps/serviceaccounts/robot"


class Place:
    """An authenticator before a host, with a clock."""

    def __init__(self) -> None:
        self.host, self.tenants, self.now = Host(), Tenants(), NOW
        verifier = LocalVerifier(self.host, HostIssuer(self.host, lambda: self.now))
        self.authenticator = ServiceAccountAuthenticator(self.tenants, verifier, lambda: self.now)

    async def ask(self, text: str, tenant: str = "") -> Caller | None:
        return await self.authenticator.authenticate(Credential(text, b"", tenant), self.now)

    def recall(self, text: str) -> Caller | None:
        return self.authenticator.recall(Credential(text), self.now)

    async def refused(self, text: str, tenant: str = "") -> None:
        with pytest.raises(ApiError) as caught:
            await self.ask(text, tenant)
        assert caught.value.status.code == 401
        assert not isinstance(caught.value, UnreachableIssuerError)


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_the_user_is_the_account_as_its_tenant_calls_it() -> None:
    place = Place()
    place.host.put(PODS, "pod-1")
    caller = await place.ask(token(bound=POD))
    assert caller == Caller(
        ACME,
        "uid-acme",
        "system:serviceaccount:apps:robot",
        ("system:serviceaccounts", "system:serviceaccounts:apps"),
        "sa-acme",
        {
            "authentication.kubernetes.io/credential-id": ("JTI=id-1",),
            "authentication.kubernetes.io/node-name": ("n1",),
            "authentication.kubernetes.io/node-uid": ("node-1",),
            "authentication.kubernetes.io/pod-name": ("web-1",),
            "authentication.kubernetes.io/pod-uid": ("pod-1",),
        },
        "id-1",
        NOW + 3600,
    )
    assert place.host.asked[3:] == [f"acme: {ACCOUNT}", f"acme: {PODS}"]  # of a Pod's token the node is a hint


async def test_accounts_of_one_name_in_two_tenants_share_nothing() -> None:
    place = Place()
    first, second = await place.ask(token()), await place.ask(token("globex"))
    assert first is not None
    assert second is not None
    assert (first.user, first.tenant, first.uid) == (second.user, ACME, "sa-acme")
    assert (second.tenant, second.uid) == (GLOBEX, "sa-globex")
    del place.host.there[ACCOUNT]
    place.now += HARD
    await place.refused(token())
    assert await place.ask(token("globex")) is not None


async def test_the_address_may_name_the_tokens_own_tenant_alone() -> None:
    place = Place()
    assert await place.ask(token(), "acme") is not None
    await place.refused(token(), "globex")


@pytest.mark.parametrize(
    ("what", "bad"),
    [
        ("another tenant's audience", token(aud=["https://globex.vcproxy.local"])),
        ("the host's audience", token(aud=["https://kubernetes.default.svc.cluster.local"])),
        ("no audience", token(aud=[])),
        ("expired", token(exp=int(NOW) - 1)),
        ("of the future", token(nbf=int(NOW) + 600)),
        ("a key of somebody else", token(key=OTHER)),
        ("an unknown key", token(kid="two")),
        ("no key named", token(kid=None)),
        ("another uid", token(bound={"serviceaccount": {"name": "robot", "uid": "x"}})),
        ("a namespace of nobody", token("strange")),
        ("a namespace without a prefix", token(bound={"namespace": "apps"}, sub="system:serviceaccount:apps:robot")),
        ("an account that is not there", token(name="nobody")),
        ("a Pod that is not there", token(bound=POD)),
    ],
    ids=lambda value: value if " " in value else "",
)
async def test_a_token_that_does_not_count_is_a_401(what: str, bad: str) -> None:
    place = Place()
    await place.refused(bad)
    assert not any(" secrets" in one for one in place.host.asked), what


@pytest.mark.parametrize(
    "other",
    [
        "x",
        "a.b.c",
        token(iss="https://issuer.example.com"),
        token(bound={"cluster": {"name": "x"}}),
        token(sub="system:serviceaccount:acme-apps:other"),
        token(**NO_CLAIMS),
        token(exp=None),
        token(exp="soon"),
    ],
    ids=["text", "dots", "issuer", "bound to what is unknown", "subject", "no claims", "no expiry", "odd expiry"],
)
async def test_what_is_no_such_token_is_left_to_others(other: str) -> None:
    place = Place()
    assert await place.ask(other) is None
    assert [one for one in place.host.asked if ":" in one] == []


async def test_the_public_key_is_no_secret_and_none_is_no_algorithm() -> None:
    import jwt

    place = Place()
    payload = jwt.decode(token(), options={"verify_signature": False})
    for algorithm in ("HS256", "none", "RS1"):
        await place.refused(unsigned({"alg": algorithm, "kid": "one", "typ": "JWT"}, payload, b"x"))
    await place.refused(unsigned({"alg": "RS256", "kid": "one", "jku": "https://evil.example.com"}, payload, b"x"))
    assert not any("evil" in one for one in place.host.asked)


@pytest.mark.parametrize(
    ("kind", "path"),
    [("secret", "/api/v1/namespaces/acme-apps/secrets/s"), ("node", "/api/v1/nodes/s"), ("pod", PODS[:-5] + "s")],
)
async def test_what_a_token_is_bound_to_must_be_there_with_its_uid(kind: str, path: str) -> None:
    place, bound = Place(), {kind: {"name": "s", "uid": "right"}}
    place.host.put(path, "right")
    good = token(bound=bound)
    assert await place.ask(good) is not None
    assert place.host.asked[-1] == f"{'None' if kind == 'node' else 'acme'}: {path}"
    place.host.put(path, "wrong")
    place.now += HARD
    await place.refused(good)


async def test_what_is_being_deleted_counts_for_a_minute_more() -> None:
    import time

    place = Place()

    def moment(seconds: float) -> str:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(NOW + seconds))

    place.host.put(ACCOUNT, "sa-acme", deletionTimestamp=moment(-30))
    assert await place.ask(token()) is not None
    place.host.put(ACCOUNT, "sa-acme", deletionTimestamp=moment(-90))
    place.now += HARD
    await place.refused(token())


async def test_a_caller_in_use_is_looked_at_beside_its_requests() -> None:
    place, good = Place(), token()
    await place.ask(good)
    asked = len(place.host.asked)
    place.now += SOFT - 0.1
    assert place.recall(good) is not None
    await settle()
    assert len(place.host.asked) == asked
    place.now += 0.2
    assert place.recall(good) is not None
    assert place.recall(good) is not None
    await settle()
    assert len(place.host.asked) == asked + 1
    del place.host.there[ACCOUNT]
    place.now += SOFT
    assert place.recall(good) is not None
    await settle()
    with pytest.raises(ApiError):
        place.recall(good)


async def test_an_idle_caller_is_looked_at_before_its_request() -> None:
    place, good = Place(), token()
    await place.ask(good)
    del place.host.there[ACCOUNT]
    place.now += HARD
    assert place.recall(good) is None
    await place.refused(good)


async def test_no_cache_outlives_the_token() -> None:
    place, good = Place(), token(exp=int(NOW) + 1)
    assert await place.ask(good) is not None
    place.now += 1
    assert place.recall(good) is None
    await place.refused(good)


async def test_a_refusal_is_kept_for_a_while_and_no_longer() -> None:
    place, good = Place(), token()
    found = place.host.there.pop(ACCOUNT)
    await place.refused(good)
    asked = len(place.host.asked)
    await place.refused(good)
    assert len(place.host.asked) == asked
    place.host.there[ACCOUNT] = found
    place.now += REFUSED_SECONDS
    assert await place.ask(good) is not None


async def test_a_namespace_that_is_just_being_made_is_no_lasting_refusal() -> None:
    place = Place()
    views, place.tenants.views = place.tenants.views, {}
    await place.refused(token())
    place.tenants.views = views
    place.now += REFUSED_SECONDS
    view = views[ACME]
    views[ACME] = type(view)(view.id, view.uid, view.phase)
    await place.refused(token())
    views[ACME] = view
    assert await place.ask(token()) is not None


async def test_all_who_bring_one_token_wait_for_one_look() -> None:
    place, good = Place(), token()
    await place.ask(token("globex"))  # the keys are known
    place.host.gate = asyncio.Event()
    waiting = [asyncio.create_task(place.ask(good)) for _ in range(50)]
    await settle()
    place.host.gate.set()
    assert len({id(one) for one in await asyncio.gather(*waiting)}) == 1
    assert place.host.asked.count(f"acme: {ACCOUNT}") == 1


async def test_looks_at_one_time_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serviceaccounts, "FLIGHTS", 2)
    place = Place()
    await place.ask(token("globex"))
    place.host.gate = asyncio.Event()
    waiting = [asyncio.create_task(place.ask(token(jti=f"id-{number}"))) for number in range(2)]
    await settle()
    with pytest.raises(UnreachableIssuerError):
        await place.ask(token(jti="one too many"))
    place.host.gate.set()
    await asyncio.gather(*waiting)


async def test_a_host_that_cannot_be_asked_has_not_said_no() -> None:
    place, good = Place(), token()
    await place.ask(good)
    place.host.down = True
    place.now += HARD
    for _ in range(2):
        with pytest.raises(UnreachableIssuerError):
            await place.ask(good)
    place.host.down = False
    assert await place.ask(good) is not None


async def test_caches_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serviceaccounts, "CACHE_LIMIT", 2)
    monkeypatch.setattr(serviceaccounts, "REFUSED_LIMIT", 2)
    place = Place()
    for number in range(5):
        await place.ask(token(jti=f"id-{number}"))
        await place.refused(token(jti=f"id-{number}", aud=["x"]))
    kept: Any = place.authenticator
    assert (len(kept._known), len(kept._refused)) == (2, 2)


async def test_a_new_key_of_the_host_is_learned_by_its_first_token() -> None:
    from tests.shell.oidcs import public

    place = Place()
    await place.ask(token())
    place.host.keys = [public(OTHER, "two")]
    place.now += 11
    assert await place.ask(token(key=OTHER, kid="two")) is not None
    asked = len(place.host.asked)
    for number in range(5):
        await place.refused(token(kid=f"made-up-{number}"))
    assert len(place.host.asked) == asked  # not more than one look in ten seconds
