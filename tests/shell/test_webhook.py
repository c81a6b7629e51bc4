"""The token webhook: asked once for all, kept for a while, and no unless it says yes."""

import asyncio
import json
from typing import Any

import jwt
import pytest

from vcproxy.access import webhook as module
from vcproxy.access.authenticator import Credential, UndecidedError
from vcproxy.access.fetching import UnreachableError
from vcproxy.access.webhook import WebhookAuthenticator
from vcproxy.core.caller import Caller
from vcproxy.core.names import TenantId
from vcproxy.core.view import Phase, TenantView

NOW = 1000.0
ACME = TenantId("acme")
URL = "https://login.example.com/review"
CREDENTIAL = Credential("opaque", tenant="acme")


class Tenants:
    def tenant(self, tenant: TenantId) -> TenantView | None:
        return TenantView(tenant, f"uid-{tenant}", Phase.ACTIVE) if tenant in ("acme", "globex") else None


class Service:
    def __init__(self, **status: Any) -> None:
        user = {"username": "ann", "uid": "7", "groups": ["devs", "system:authenticated"]}
        self.status: dict[str, Any] = {"authenticated": True, "user": user, **status}
        self.asked: list[Any] = []
        self.down = False

    async def __call__(self, url: str, body: bytes) -> Any:
        assert url == URL
        self.asked.append(json.loads(body))
        await asyncio.sleep(0)
        if self.down:
            raise UnreachableError("down")
        return {"kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1", "status": self.status}


def made(service: Service) -> WebhookAuthenticator:
    return WebhookAuthenticator(Tenants(), URL, service, 120.0, 30.0)


async def test_a_yes_names_the_user_and_is_kept_for_its_time() -> None:
    service = Service()
    one = made(service)
    caller = await one.authenticate(CREDENTIAL, NOW)
    assert caller == Caller(ACME, "uid-acme", "ann", ("devs",), "7", {})
    assert one.recall(CREDENTIAL, NOW + 119) == caller
    assert one.recall(CREDENTIAL, NOW + 120) is None
    assert service.asked[0]["spec"] == {"token": "opaque"}
    assert len(service.asked) == 1


def signed(**claims: Any) -> str:
    return jwt.encode(claims, "a secret that is long enough for it", "HS256")


async def test_a_token_that_says_when_it_ends_lasts_no_longer() -> None:
    one, credential = made(Service()), Credential(signed(exp=int(NOW) + 60), tenant="acme")
    caller = await one.authenticate(credential, NOW)
    assert caller is not None
    assert caller.expires == NOW + 60
    assert one.recall(credential, NOW + 59) == caller
    assert one.recall(credential, NOW + 60) is None
    assert await one.authenticate(credential, NOW + 60) is None


@pytest.mark.parametrize("payload", [{"exp": "soon"}, {}, {"exp": True}, {"exp": -1}])
async def test_an_end_that_is_none_is_not_looked_at(payload: dict[str, Any]) -> None:
    text = jwt.PyJWS().encode(json.dumps(payload).encode(), "a secret that is long enough for it", "HS256")
    caller = await made(Service()).authenticate(Credential(text, tenant="acme"), NOW)
    assert caller is not None
    assert caller.expires == float("inf")


async def test_a_no_is_forgotten_when_the_configuration_is_another() -> None:
    service = Service(authenticated=False)
    one = made(service)
    assert await one.authenticate(CREDENTIAL, NOW) is None
    one.reconsider()
    service.status["authenticated"] = True
    assert await one.authenticate(CREDENTIAL, NOW)


async def test_all_who_bring_the_same_token_wait_for_one_exchange() -> None:
    service = Service()
    one = made(service)
    assert len({id(c) for c in await asyncio.gather(*(one.authenticate(CREDENTIAL, NOW) for _ in range(9)))}) == 1
    assert len(service.asked) == 1


@pytest.mark.parametrize(
    "status",
    [
        {"authenticated": False},
        {"authenticated": True, "error": "odd"},
        {"authenticated": "true"},
        {"authenticated": True, "user": {}},
        {"authenticated": True, "user": {"username": "vcproxy:tenant:globex"}},
        {"authenticated": True, "user": {"username": "a", "groups": ["vcproxy:tenants"]}},
        {"authenticated": True, "user": {"username": "a" * 1025}},
        {"authenticated": True, "user": {"username": "a", "groups": ["g"] * 1025}},
        {"authenticated": True, "user": {"username": "a", "groups": [f"{n}{'g' * 1000}" for n in range(80)]}},
        {"authenticated": True, "user": {"username": "a", "extra": {"vcproxy.io/tenant": ["globex"]}}},
    ],
)
async def test_all_else_is_a_no_and_kept_for_its_time(status: dict[str, Any]) -> None:
    service = Service()
    service.status = status
    one = made(service)
    for moment in (NOW, NOW + 29):
        assert await one.authenticate(CREDENTIAL, moment) is None
        assert one.recall(CREDENTIAL, moment) is None
    assert len(service.asked) == 1
    assert await one.authenticate(CREDENTIAL, NOW + 30) is None
    assert len(service.asked) == 2


async def test_an_answer_that_is_no_review_is_a_no() -> None:
    async def odd(url: str, body: bytes) -> Any:
        return ["yes"]

    assert await WebhookAuthenticator(Tenants(), URL, odd, 1, 1).authenticate(CREDENTIAL, NOW) is None


async def test_who_cannot_be_asked_has_not_said_no_and_is_asked_again() -> None:
    service = Service()
    service.down = True
    one = made(service)
    with pytest.raises(UndecidedError) as caught:
        await one.authenticate(CREDENTIAL, NOW)
    assert caught.value.status.code == 401
    service.down = False
    assert await one.authenticate(CREDENTIAL, NOW)


async def test_the_tenant_is_named_by_the_address_or_by_the_answer() -> None:
    service = Service()
    assert await made(service).authenticate(Credential("opaque"), NOW) is None
    assert await made(service).authenticate(Credential("opaque", tenant="nobody"), NOW) is None
    service.status["user"]["extra"] = {"vcproxy.io/tenant": ["globex"], "x.y/z": ["1"]}
    caller = await made(service).authenticate(Credential("opaque"), NOW)
    assert caller is not None
    assert (caller.tenant, caller.extra) == ("globex", {"x.y/z": ("1",)})


async def test_caches_and_exchanges_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CACHE_LIMIT", "REFUSED_LIMIT", "FLIGHTS"):
        monkeypatch.setattr(module, name, 2)
    service = Service()
    one = made(service)
    many = (one.authenticate(Credential(f"t{index}", tenant="acme"), NOW) for index in range(5))
    answers = await asyncio.gather(*many, return_exceptions=True)
    assert [isinstance(answer, Caller) for answer in answers] == [True, True, False, False, False]
    for index in range(5):
        await one.authenticate(Credential(f"u{index}", tenant="acme"), NOW)
    assert len(one._known) == 2
    assert await one.authenticate(Credential(tenant="acme"), NOW) is None
