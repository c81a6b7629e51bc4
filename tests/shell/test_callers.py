"""What of a Tenant resource and of the configuration makes callers."""

import ssl
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.x509.oid import NameOID

from tests.shell import accounts
from tests.shell.authorities import made
from tests.shell.oidcs import Provider, entry
from tests.shell.test_clientcerts import CA, NOW, OTHER_CA, Tenants, client, der
from vcproxy.access.assessing import Assessor
from vcproxy.access.authenticator import Credential, LiveRevocations, UnreachableIssuerError
from vcproxy.access.callers import Callers
from vcproxy.access.clientcerts import Kept
from vcproxy.access.fetching import Fetcher, UnreachableError
from vcproxy.access.hosttokens import Host
from vcproxy.access.keys import Keys
from vcproxy.access.tokens import REFRESH_AUDIENCE, Issuer
from vcproxy.access.trust import TrustError
from vcproxy.config import document as configuration
from vcproxy.config.settings import API_VERSION, KIND
from vcproxy.core import status
from vcproxy.core.caller import Caller
from vcproxy.core.names import TenantId
from vcproxy.core.status import ApiError

ACME = TenantId("acme")
KEYS = Keys.from_secret(Keys.generate())
HEAD = {"apiVersion": API_VERSION, "kind": KIND}


class NoHost:
    """A host that cannot be asked."""

    async def document(self, path: str) -> dict[str, Any]:
        raise status.bad_gateway()

    async def metadata(self, path: str, tenant: TenantId | None) -> dict[str, Any] | None:
        raise status.bad_gateway()

    async def review(self, token: str, audiences: Collection[str]) -> dict[str, Any]:
        raise status.bad_gateway()


def callers(host: Host | None = None, **settings: Any) -> Callers:
    read = configuration.parse({**HEAD, "authentication": settings}).authentication
    tenants = Tenants() if host is None else accounts.Tenants()
    return Callers(lambda: KEYS, LiveRevocations(), tenants, read, host or NoHost())


async def test_a_tenants_ca_counts_from_its_resource_until_it_is_taken_out() -> None:
    one = callers()
    credential = Credential(certificate=der(client()))
    one.update(ACME, {"clientCertificate": {"caBundle": CA.certificate.decode()}})
    assert (await one.chain.authenticate(credential, NOW)).user == "ann"
    one.update(ACME, None)
    with pytest.raises(ApiError):
        await one.chain.authenticate(credential, NOW)


async def test_the_ca_that_vcproxy_keeps_counts_while_the_resource_asks_for_it() -> None:
    one = callers()
    credential = Credential(certificate=der(client()))
    kept = Kept(CA.certificate.decode(), "uid-acme")
    one.keep(ACME, kept)
    with pytest.raises(ApiError):
        await one.chain.authenticate(credential, NOW)
    one.update(ACME, {"clientCertificate": {"issue": True}})
    assert (await one.chain.authenticate(credential, NOW)).user == "ann"
    one.update(ACME, {"clientCertificate": {"issue": False}})
    with pytest.raises(ApiError):
        await one.chain.authenticate(credential, NOW)
    one.update(ACME, {"clientCertificate": {"issue": True, "caBundle": "odd"}})
    assert (await one.chain.authenticate(credential, NOW)).user == "ann"
    one.keep(ACME, None)
    with pytest.raises(ApiError):
        await one.chain.authenticate(credential, NOW)


@pytest.mark.parametrize("odd", [{"clientCertificate": "x", "jwt": 7}, {"clientCertificate": [1], "jwt": [7, None]}])
async def test_a_spec_of_odd_shape_harms_nobody(odd: dict[str, Any]) -> None:
    one = callers()
    one.keep(ACME, Kept(CA.certificate.decode(), "uid-acme"))
    one.update(ACME, odd)
    one.update(ACME, {"clientCertificate": {"issue": True}})
    assert (await one.chain.authenticate(Credential(certificate=der(client())), NOW)).user == "ann"
    assert (await Assessor(one.clashing)(ACME, odd))[0]


def test_one_bad_issuer_leaves_the_others_in_force(caplog: pytest.LogCaptureFixture) -> None:
    one = callers()
    one.update(ACME, {"jwt": [entry(), entry("https://b.example.com", odd=1)]})
    assert [record.message for record in caplog.records] == ["tenant acme: spec.authentication.jwt[1].odd: unknown"]
    assert [issuer.url for issuer in one._oidc._issuers[ACME]] == [entry()["issuer"]["url"]]


async def test_a_ca_that_tls_takes_for_an_older_one_is_told() -> None:
    one, globex = callers(), TenantId("globex")
    own = x509.load_pem_x509_certificate(CA.certificate)
    name = own.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
    other = made(str(name), ca=True, identifier=own.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value)
    one.update(ACME, {"clientCertificate": {"caBundle": CA.certificate.decode()}})
    spec = {"clientCertificate": {"caBundle": f"{OTHER_CA.certificate.decode()}{other.certificate.decode()}"}}
    mistakes, _ = await Assessor(one.clashing)(globex, spec)
    assert len(mistakes) == 1
    assert "clientCertificate.caBundle: certificate 2 (CN=vcproxy) does not count" in mistakes[0]


async def test_what_is_wrong_in_a_resource_counts_for_nothing_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    one = callers()
    one.update(ACME, {"jwt": [{"issuer": "x"}], "clientCertificate": {"caBundle": "odd"}})
    assert [record.message.partition(":")[0] for record in caplog.records] == ["tenant acme", "tenant acme"]
    with pytest.raises(ApiError):
        await one.chain.authenticate(Credential(certificate=der(client())), NOW)


def written(folder: Path, **document: object) -> str:
    path = folder / "authentication.yaml"
    kind = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthenticationConfiguration"}
    path.write_text(yaml.safe_dump({**kind, **document}))
    return str(path)


def test_a_file_of_issuers_is_read_at_the_start_and_refused_whole(tmp_path: Path) -> None:
    assert callers(jwt=written(tmp_path, jwt=[entry()]))
    wrongs: list[dict[str, object]] = [{"jwt": [{}]}, {"anonymous": {}}, {"kind": "Other"}, {"jwt": "x"}]
    for wrong in wrongs:
        with pytest.raises(TrustError):
            callers(jwt=written(tmp_path, **wrong))
    with pytest.raises(TrustError):
        callers(jwt=str(tmp_path / "none"))


@pytest.mark.parametrize("wrong", ["http://x/y", "x", 7, "https://u@x/y", "https://x/y#z"])
def test_the_webhook_is_asked_over_https_only(wrong: object) -> None:
    with pytest.raises(configuration.ConfigErrors, match="https"):
        configuration.parse({**HEAD, "authentication": {"webhook": wrong}})
    assert callers(webhook="https://login.example.com/review")


async def test_an_issuer_that_is_new_is_asked_about_tokens_that_were_refused_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    provider, reviews = Provider(), list[bytes]()

    async def ask(self: Fetcher, url: str, body: bytes | None = None) -> Any:
        if body is None:
            return await provider.ask(url)
        reviews.append(body)
        return {"kind": "TokenReview", "status": {"authenticated": False}}

    monkeypatch.setattr(Fetcher, "ask", ask)
    one = callers(webhook="https://login.example.com/review")
    credential = Credential(provider.token(iat=int(NOW), exp=int(NOW) + 600), tenant="acme")
    for _ in range(2):
        with pytest.raises(ApiError):
            await one.chain.authenticate(credential, NOW)
    one.update(ACME, {"jwt": [entry()]})
    assert (await one.chain.authenticate(credential, NOW)).user == "oidc:ann"
    assert len(reviews) == 1


async def test_a_webhook_that_is_down_says_nothing_about_what_others_know(monkeypatch: pytest.MonkeyPatch) -> None:
    async def down(self: Fetcher, url: str, body: bytes | None = None) -> Any:
        raise UnreachableError("down")

    monkeypatch.setattr(Fetcher, "ask", down)
    one = callers(webhook="https://login.example.com/review", order=["webhook", "certificate"])
    one.update(ACME, {"clientCertificate": {"caBundle": CA.certificate.decode()}})
    assert (await one.chain.authenticate(Credential("token", der(client())), NOW)).user == "ann"
    with pytest.raises(UnreachableIssuerError):
        await one.chain.authenticate(Credential("token"), NOW)


async def test_authenticators_are_asked_in_the_configured_order(monkeypatch: pytest.MonkeyPatch) -> None:
    async def yes(self: Fetcher, url: str, body: bytes | None = None) -> Any:
        return {"kind": "TokenReview", "status": {"authenticated": True, "user": {"username": "of the webhook"}}}

    monkeypatch.setattr(Fetcher, "ask", yes)
    credential = Credential("token", der(client()), "acme")
    for order, user in (
        (["certificate", "webhook"], "ann"),
        (["webhook", "certificate"], "of the webhook"),
        (["webhook"], "of the webhook"),
        (["vcproxy", "oidc", "serviceAccount", "certificate"], "ann"),
    ):
        one = callers(webhook="https://login.example.com/review", order=order)
        one.update(ACME, {"clientCertificate": {"caBundle": CA.certificate.decode()}})
        assert (await one.chain.authenticate(credential, NOW)).user == user
        recalled = one.chain.recall(credential, NOW)
        assert recalled is not None
        assert recalled.user == user


async def test_an_authenticator_that_is_left_out_is_off() -> None:
    token = Issuer(KEYS).issue(ACME, "uid-acme", "ann", ("devs",), 600, NOW)[0]
    refresh = Issuer(KEYS).issue(ACME, "uid-acme", "ann", ("devs",), 600, NOW, audience=REFRESH_AUDIENCE)[0]
    assert (await callers().chain.authenticate(Credential(token), NOW)).user == "ann"
    assert callers().refresher.holder(refresh, NOW).user == "ann"
    off = callers(order=["certificate", "oidc"])
    with pytest.raises(ApiError):
        await off.chain.authenticate(Credential(token), NOW)
    with pytest.raises(ApiError):
        off.refresher.holder(refresh, NOW)


async def test_tls_asks_for_no_certificates_where_they_are_off() -> None:
    for order, mode in ((["oidc"], ssl.CERT_NONE), (["certificate"], ssl.CERT_OPTIONAL)):
        one = callers(order=order)
        one.update(ACME, {"clientCertificate": {"caBundle": CA.certificate.decode()}})
        context = one.listen(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
        one.update(TenantId("globex"), {"clientCertificate": {"caBundle": OTHER_CA.certificate.decode()}})
        assert context.verify_mode is mode


async def test_accounts_that_are_off_are_off_in_reviews_too() -> None:
    host = accounts.Host()
    asker = Caller(ACME, "uid-acme", "admin")
    for order, known in ((["serviceAccount"], True), (["oidc"], False)):
        one = callers(host, order=order)
        review = one.reviewer.review(accounts.token(), asker, (), accounts.NOW)
        if known:
            assert (await review)[0].user == "system:serviceaccount:apps:robot"
        else:
            with pytest.raises(ApiError):
                await review


@pytest.mark.parametrize(
    ("order", "words"),
    [
        ([], "is a list of"),
        ("oidc", "is a list of"),
        (["oidc", "oidc"], "is a list of"),
        (["oidc", 7], "is a list of"),
        (["oidc", "odic"], "is a list of certificate, vcproxy, oidc, serviceAccount, webhook"),
    ],
)
def test_an_order_that_cannot_be_is_refused(order: Any, words: str) -> None:
    with pytest.raises(configuration.ConfigErrors, match=f"authentication.order: {words}"):
        callers(order=order)
