"""What of a Tenant resource and of the configuration makes callers."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.x509.oid import NameOID

from tests.shell.authorities import made
from tests.shell.oidcs import entry
from tests.shell.test_clientcerts import CA, NOW, OTHER_CA, Tenants, client, der
from vcproxy.access.assessing import Assessor
from vcproxy.access.authenticator import Credential, LiveRevocations
from vcproxy.access.callers import Callers
from vcproxy.access.clientcerts import Kept
from vcproxy.access.fetching import Fetcher
from vcproxy.access.trust import TrustError
from vcproxy.config import document as configuration
from vcproxy.config.settings import API_VERSION, KIND
from vcproxy.core import status
from vcproxy.core.names import TenantId
from vcproxy.core.status import ApiError

ACME = TenantId("acme")
HEAD = {"apiVersion": API_VERSION, "kind": KIND}


class NoHost:
    """A host that cannot be asked."""

    async def document(self, path: str) -> dict[str, Any]:
        raise status.bad_gateway()

    async def metadata(self, path: str, tenant: TenantId | None) -> dict[str, Any] | None:
        raise status.bad_gateway()

    async def review(self, token: str, audiences: Collection[str]) -> dict[str, Any]:
        raise status.bad_gateway()


def callers(**settings: str) -> Callers:
    read = configuration.parse({**HEAD, "authentication": settings}).authentication
    return Callers(lambda: None, LiveRevocations(), Tenants(), read, NoHost())


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
    async def no(self: Fetcher, url: str, body: bytes | None = None) -> Any:
        return {"kind": "TokenReview", "status": {"authenticated": False}}

    monkeypatch.setattr(Fetcher, "ask", no)
    one, credential = callers(webhook="https://login.example.com/review"), Credential("opaque", tenant="acme")
    with pytest.raises(ApiError):
        await one.chain.authenticate(credential, NOW)
    with pytest.raises(ApiError):
        one.chain.recall(credential, NOW)
    one.update(ACME, {"jwt": [entry()]})
    assert one.chain.recall(credential, NOW) is None
