"""What is wrong with spec.authentication: found where it was written, and said with what to do about it."""

from typing import Any

import pytest

from tests.shell.authorities import CLIENT, DAY, START, made
from tests.shell.oidcs import Provider, entry
from vcproxy.access.assessing import Assessor
from vcproxy.access.trust import Issuer
from vcproxy.core.names import TenantId

ACME = TenantId("acme")
CA = made("a CA", ca=True)
OTHER = "https://other.example.com"


def nothing(tenant: TenantId, bundle: str) -> list[str]:
    """No CA is like another."""
    return []


async def assess(spec: dict[str, Any], provider: Provider | None = None) -> tuple[list[str], list[str]]:
    asked = provider or Provider()
    return await Assessor(nothing, lambda issuer: asked.ask, START.timestamp)(ACME, spec)


async def test_what_is_in_order_is_nothing_to_talk_about() -> None:
    spec = {"jwt": [entry()], "clientCertificate": {"caBundle": CA.certificate.decode(), "issue": True}}
    assert await assess(spec) == ([], [])
    assert await assess({}) == ([], [])


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"jwt": [entry(claimValidationRules=[{"expression": "claims.("}])]}, "is no CEL expression"),
        ({"jwt": [entry(claimValidationRules=[{"expression": "claims.x + 1"}])]}, "expression"),
        ({"jwt": [entry(userValidationRule=[{"expression": "true"}])]}, "userValidationRule: unknown"),
        ({"jwt": [entry(claimMappings={"usrname": {"claim": "sub", "prefix": ""}})]}, "did you mean username?"),
        ({"jwt": [entry(claimMappings={"username": {"claim": "sub"}})]}, "needs claim and, even if empty, prefix"),
        ({"jwt": [entry(userValidationRules=[{"expresion": "true"}])]}, "did you mean expression?"),
        ({"jwt": [entry(), entry()]}, "jwt[1].issuer.url: https://issuer.example.com stands more than once"),
        ({"jwt": [entry("http://plain.example.com")]}, "is an https URL"),
        ({"jwt": "odd"}, "8 issuers at most"),
        ({"clientCertificate": {"caBundle": "odd"}}, "clientCertificate.caBundle: is no PEM text"),
        (
            {"clientCertificate": {"caBundle": made("ann", CA, usage=CLIENT).certificate.decode()}},
            "certificate 1 (CN=ann) is of no certificate authority",
        ),
        (
            {"clientCertificate": {"caBundle": made("old", ca=True, ends=START - DAY / 2).certificate.decode()}},
            "certificate 1 (CN=old) is not valid now",
        ),
        ({"clientCertificate": {"caBundle": CA.certificate.decode() * 9}}, "more than 8 certificates"),
    ],
)
async def test_each_mistake_is_told_with_its_place(spec: dict[str, Any], words: str) -> None:
    mistakes, _ = await assess(spec)
    assert any(words in text for text in mistakes), mistakes


async def test_all_mistakes_are_told_at_once() -> None:
    spec = {"jwt": [entry(more=1), entry(OTHER, less=1)], "clientCertificate": {"caBundle": "odd"}}
    assert len((await assess(spec))[0]) == 3


async def test_an_issuer_that_does_not_answer_or_speaks_for_another_is_told_and_the_others_are_asked() -> None:
    down, renamed, empty = Provider(), Provider("https://b.example.com"), Provider("https://c.example.com")
    down.down, renamed.name, empty.keys = True, OTHER, []
    providers = {one.url: one for one in (down, renamed, empty)}
    spec = {"jwt": [entry(url) for url in providers]}

    def of(issuer: Issuer) -> Any:
        return providers[issuer.url].ask

    mistakes, unreachable = await Assessor(nothing, of, START.timestamp)(ACME, spec)
    assert mistakes == []
    assert [text.split(" ")[1].rstrip(":") for text in unreachable] == list(providers)
    assert "speaks for another issuer" in unreachable[1]
    assert "no key that can be used" in unreachable[2]


async def test_an_issuer_of_many_tenants_is_asked_once_in_a_while() -> None:
    provider, clock = Provider(), [START.timestamp()]
    assessor = Assessor(nothing, lambda issuer: provider.ask, lambda: clock[0])
    for _ in range(3):
        assert await assessor(ACME, {"jwt": [entry()]}) == ([], [])
    assert len(provider.asked) == 2  # the discovery document and the keys
    provider.down, clock[0] = True, clock[0] + 240
    for _ in range(2):
        assert "down" in (await assessor(ACME, {"jwt": [entry()]}))[1][0]
    assert len(provider.asked) == 3
    provider.down, clock[0] = False, clock[0] + 20
    assert await assessor(ACME, {"jwt": [entry()]}) == ([], [])


async def test_an_issuer_that_is_written_wrong_is_not_asked() -> None:
    provider = Provider()
    await assess({"jwt": [entry(odd=1)]}, provider)
    assert provider.asked == []
