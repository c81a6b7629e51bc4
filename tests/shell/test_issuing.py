"""What vcproxy signs: CAs of tenants and their users' certificates, and what is refused before anything is signed."""

import re
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.shell.authorities import made
from tests.shell.fakehost import FakeHost
from tests.shell.test_clientcerts import Tenants, der
from vcproxy.access import paths
from vcproxy.access.authenticator import Credential, LiveRevocations
from vcproxy.access.certificates import Pair
from vcproxy.access.clientcerts import CertificateAuthenticator, Kept
from vcproxy.access.issuing import make_authority, sign
from vcproxy.access.records import TokenRecords
from vcproxy.cli import issuing
from vcproxy.cli.output import Failure
from vcproxy.core.names import TenantId
from vcproxy.tenants import authorities
from vcproxy.tenants.authorities import Authority
from vcproxy.tenants.hostapi import HostApi

ACME = TenantId("acme")
NOW = 1_800_000_000.0
DAY = 86400.0
CA = make_authority(ACME, NOW)


def parsed(pair: Pair) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pair.certificate)


def test_each_ca_has_a_name_and_a_key_of_its_own_and_signs_no_other_ca() -> None:
    other = make_authority(ACME, NOW)
    assert parsed(CA).subject != parsed(other).subject
    assert parsed(CA).public_key() != parsed(other).public_key()
    assert paths.is_authority(parsed(CA))
    constraints = parsed(CA).extensions.get_extension_for_class(x509.BasicConstraints)
    assert (constraints.value.path_length, constraints.critical) == (0, True)
    assert parsed(CA).not_valid_after_utc.timestamp() == NOW + 732 * DAY


async def test_a_certificate_is_what_was_asked_for_and_makes_that_caller() -> None:
    pair, record = sign(CA, "uid-acme", "ann", ("tenant:admin", "devs"), 3600, NOW + 0.5)
    found = parsed(pair)
    assert found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "ann"
    usage = found.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert not paths.is_authority(found)
    assert (record.id, record.kind, record.user) == (f"{found.serial_number:x}", "certificate", "ann")
    assert (record.issued, record.expires) == (NOW + 0.5, NOW + 3600)
    authenticator = CertificateAuthenticator(Tenants(), lambda pem: None, LiveRevocations())
    authenticator.update(ACME, "", Kept(CA.certificate.decode(), "uid-acme"))
    caller = await authenticator.authenticate(Credential(certificate=der(pair)), NOW)
    assert caller is not None
    assert (caller.user, caller.groups) == ("ann", ("tenant:admin", "devs"))


def test_no_two_certificates_share_key_or_serial_number() -> None:
    found = [sign(CA, "uid", "ann", (), 60, NOW) for _ in range(2)]
    assert found[0][1].id != found[1][1].id
    assert found[0][0].key != found[1][0].key
    assert "PRIVATE" not in repr(found)


def test_a_certificate_ends_with_its_ca() -> None:
    pair, record = sign(CA, "uid", "ann", (), 30 * DAY, NOW + 725 * DAY)
    assert record.expires == parsed(pair).not_valid_after_utc.timestamp() == NOW + 732 * DAY
    with pytest.raises(ValueError, match="CA has ended"):
        sign(CA, "uid", "ann", (), DAY, NOW + 732 * DAY)


@pytest.mark.parametrize(
    ("user", "groups", "life", "words"),
    [
        ("", (), 60, "1 to 64 characters"),
        ("a" * 65, (), 60, "use a token"),
        ("ann", ("g" * 65,), 60, "1 to 64 characters"),
        ("ann", ("",), 60, "1 to 64 characters"),
        ("ann", ("system:masters",), 60, "reserved: system:masters"),
        ("system:admin", (), 60, "reserved"),
        ("vcproxy:tenant:globex", (), 60, "reserved"),
        ("ann", ("g",) * 65, 60, "64 groups at most"),
        ("ann", (), 0.5, "from 1 second"),
        ("ann", (), 367 * DAY, "to 366 days"),
    ],
)
def test_what_would_never_count_is_not_signed(user: str, groups: tuple[str, ...], life: float, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        sign(CA, "uid", user, groups, life, NOW)


# The command, against a host in memory --------------------------------------------------------------------------------


def tenant(host: FakeHost, **certificates: Any) -> str:
    """The uid of a tenant whose CA the controller has made."""
    spec = {"authentication": {"clientCertificate": certificates}}
    stored = host.put("/apis/vcproxy.io/v1alpha1", "tenants", {"metadata": {"name": "acme"}, "spec": spec})
    return str(stored["metadata"]["uid"])


def kept(host: FakeHost, uid: str, number: int = 1) -> Pair:
    """A CA as the controller keeps it."""
    ca = made("acme CA", ca=True)
    entry = Authority(number, ca.certificate.decode(), ca.expires().timestamp())
    host.put("/api/v1", "configmaps", authorities.Kept(ACME, uid, (entry,)).document())
    whole = authorities.Made(entry.certificate, ca.key, entry.expires)
    host.put("/api/v1", "secrets", authorities._secret(ACME, number, whole))
    return ca


async def test_the_command_signs_with_the_tenants_ca_and_records_it_first() -> None:
    host = FakeHost()
    ca = kept(host, tenant(host, issue=True))
    pair = await issuing.issue_certificate(HostApi(host), ACME, "ann", ("devs",), 3600)
    parsed(pair).verify_directly_issued_by(parsed(ca))
    records = TokenRecords.parse((host.find("configmaps", "tokens-acme", "vcproxy-system") or {})["data"])
    [record] = records.listed()
    assert (record.id, record.kind, record.groups) == (f"{parsed(pair).serial_number:x}", "certificate", ("devs",))
    assert "PRIVATE" not in str(host.find("configmaps", "tokens-acme", "vcproxy-system"))


async def test_a_tenant_that_did_not_ask_for_a_ca_gets_the_words_to_ask_with() -> None:
    host = FakeHost()
    tenant(host)
    with pytest.raises(Failure, match="kubectl patch tenant acme"):
        await issuing.issue_certificate(HostApi(host), ACME, "ann", (), None)


async def test_a_life_longer_than_the_proxys_longest_is_refused() -> None:
    host = FakeHost()
    kept(host, tenant(host, issue=True))
    with pytest.raises(Failure, match=r"longestLife"):
        await issuing.issue_certificate(HostApi(host), ACME, "ann", (), 9000 * 3600)


async def test_a_key_that_is_gone_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    host = FakeHost()
    uid = tenant(host, issue=True)
    kept(host, uid)
    host.remove("secrets", "authority-acme-1", "vcproxy-system")
    with pytest.raises(Failure, match="renew-ca"):
        await issuing.issue_certificate(HostApi(host), ACME, "ann", (), None)
    monkeypatch.setattr(issuing, "WAIT", 0.05)
    kept(host, "uid of another tenant")
    with pytest.raises(Failure, match="has not been made"):
        await issuing.issue_certificate(HostApi(host), ACME, "ann", (), None)
    with pytest.raises(Failure, match="has not been made"):  # nobody makes it here
        await issuing.renew(HostApi(host), ACME)
    assert host.names("secrets") == []
    assert host.find("configmaps", "authority-acme", "vcproxy-system") is None
