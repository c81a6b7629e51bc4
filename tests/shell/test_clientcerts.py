"""Client certificates: who signed them decides the tenant, and they count only while everything is in order."""

import asyncio
import datetime
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.shell.authorities import CLIENT, DAY, made, read, sent
from vcproxy.access import certificates, listening, paths
from vcproxy.access.authenticator import Credential, LiveRevocations
from vcproxy.access.certificates import Pair
from vcproxy.access.clientcerts import CertificateAuthenticator, Kept
from vcproxy.access.listening import Trust
from vcproxy.access.records import IssuedToken, TokenRecords
from vcproxy.core.http import Call, Reply
from vcproxy.core.names import TenantId
from vcproxy.core.status import ApiError
from vcproxy.core.view import Phase, TenantView
from vcproxy.server import Server, ServerSettings

ACME, GLOBEX = TenantId("acme"), TenantId("globex")
START = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
NOW = START.timestamp()
CA, OTHER_CA = certificates.make_ca(), certificates.make_ca()


class Tenants:
    def tenant(self, tenant: TenantId) -> TenantView | None:
        return TenantView(tenant, f"uid-{tenant}", Phase.ACTIVE)


def client(
    ca: Pair = CA,
    names: tuple[str, ...] = ("ann",),
    groups: tuple[str, ...] = ("devs", "ops"),
    usage: Any = ExtendedKeyUsageOID.CLIENT_AUTH,
    days: int = 1,
    begins: datetime.datetime = START - datetime.timedelta(minutes=1),
) -> Pair:
    signer = serialization.load_pem_private_key(ca.key, None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, name) for name in names]
    parts += [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    builder = x509.CertificateBuilder(
        x509.load_pem_x509_certificate(ca.certificate).subject,
        x509.Name(parts),
        key.public_key(),
        x509.random_serial_number(),
        begins,
        begins + datetime.timedelta(days=days),
    )
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
    builder = builder.add_extension(authority, critical=False)  # tells CAs of the same name apart
    if usage is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    made = builder.sign(signer, hashes.SHA256())
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    return Pair(made.public_bytes(pem), key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))


def der(pair: Pair) -> bytes:
    return ssl.PEM_cert_to_DER_cert(pair.certificate.decode())


def of_acme() -> CertificateAuthenticator:
    made = CertificateAuthenticator(Tenants(), lambda pem: None, LiveRevocations())
    made.update(ACME, CA.certificate.decode())
    return made


async def test_common_name_and_organizations_are_user_and_groups() -> None:
    caller = await of_acme().authenticate(Credential(certificate=der(client())), NOW)
    assert caller is not None
    assert (caller.tenant, caller.tenant_uid, caller.user, caller.groups) == (
        ACME,
        "uid-acme",
        "ann",
        ("devs", "ops"),
    )
    assert NOW < caller.expires < NOW + 86400


@pytest.mark.parametrize(
    "bad",
    [
        {"usage": ExtendedKeyUsageOID.SERVER_AUTH},
        {"usage": None},
        {"begins": START - datetime.timedelta(days=2)},
        {"begins": START + datetime.timedelta(minutes=5)},
        {"names": ()},
        {"names": ("a", "b")},
        {"names": ("system:admin",)},
        {"groups": tuple("g" for _ in range(1025))},
        {"groups": ("system:masters",)},
        {"groups": ("vcproxy:tenants",)},
    ],
)
async def test_certificates_not_for_clients_not_of_now_or_with_odd_names_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ApiError) as caught:
        await of_acme().authenticate(Credential(certificate=der(client(**bad))), NOW)
    assert caught.value.status.code == 401


async def test_a_certificate_of_no_tenants_ca_is_none_of_ours() -> None:
    one = of_acme()
    assert await one.authenticate(Credential(certificate=der(client(OTHER_CA))), NOW) is None
    assert await one.authenticate(Credential("token"), NOW) is None


async def test_another_tenants_name_is_not_entered() -> None:
    one = of_acme()
    one.update(GLOBEX, OTHER_CA.certificate.decode())
    assert await one.authenticate(Credential(certificate=der(client()), tenant="globex"), NOW) is None
    assert await one.authenticate(Credential(certificate=der(client()), tenant="acme"), NOW) is not None


async def test_a_ca_of_two_tenants_needs_the_tenant_in_the_address() -> None:
    one = of_acme()
    one.update(GLOBEX, CA.certificate.decode())
    with pytest.raises(ApiError):
        await one.authenticate(Credential(certificate=der(client())), NOW)
    caller = await one.authenticate(Credential(certificate=der(client()), tenant="globex"), NOW)
    assert caller is not None
    assert caller.tenant == GLOBEX


async def test_tokens_that_come_with_a_certificate_are_not_kept() -> None:
    one, shown = of_acme(), der(client())
    for number in range(9):
        credential = Credential(f"{number}", shown)
        await one.authenticate(credential, NOW)
    assert len(one._known) == 1


async def test_a_ca_taken_away_ends_what_it_signed() -> None:
    one = of_acme()
    credential = Credential(certificate=der(client()))
    caller = await one.authenticate(credential, NOW)
    assert one.recall(credential, NOW) == caller
    one.update(ACME, "")
    assert one.recall(credential, NOW) is None
    assert await one.authenticate(credential, NOW) is None


async def test_through_one_in_between_a_certificate_is_its_tenants_and_ends_with_it() -> None:
    one = CertificateAuthenticator(Tenants(), lambda pem: None, LiveRevocations())
    root = made("root", ca=True)
    one.update(ACME, root.certificate.decode())
    between = made("between", root, ca=True, ends=START + DAY / 2)
    mine = made("ann", between, usage=CLIENT, groups=["devs"])
    caller = await one.authenticate(Credential(certificate=sent(mine, between)), NOW)
    assert caller is not None
    assert (caller.user, caller.groups, caller.expires) == ("ann", ("devs",), (START + DAY / 2).timestamp())
    assert await one.authenticate(Credential(certificate=sent(mine)), NOW) is None


async def test_of_many_cas_only_those_of_the_right_name_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    one = CertificateAuthenticator(Tenants(), lambda pem: None, LiveRevocations())
    cas = [made(f"ca {index}", ca=True) for index in range(20)]
    for index, ca in enumerate(cas):
        one.update(TenantId(f"tenant{index}"), ca.certificate.decode())
    tried, path = list[object](), paths.path

    def counted(shown: paths.Path, authority: x509.Certificate, now: float) -> paths.Path | None:
        tried.append(authority)
        return path(shown, authority, now)

    monkeypatch.setattr(paths, "path", counted)
    caller = await one.authenticate(Credential(certificate=sent(made("ann", cas[7], usage=CLIENT))), NOW)
    assert caller is not None
    assert (caller.tenant, len(tried)) == ("tenant7", 1)
    one.update(TenantId("tenant7"), "")
    assert await one.authenticate(Credential(certificate=sent(made("ann", cas[7], usage=CLIENT))), NOW) is None
    assert len(tried) == 1


def test_a_ca_that_tls_does_not_take_is_told_and_the_others_count(caplog: pytest.LogCaptureFixture) -> None:
    context, trust = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), Trust()
    trust.apply(context)
    listening._accept(context, b"odd")
    assert "cannot be trusted" in caplog.text
    assert context.verify_mode is ssl.CERT_NONE
    trust.add(*read(CA))
    assert len(context.get_ca_certs()) == 1


async def test_a_client_that_sends_odd_things_is_refused() -> None:
    with pytest.raises(ApiError) as caught:
        await of_acme().authenticate(Credential(certificate=der(client()) + b"odd"), NOW)
    assert caught.value.status.code == 401


KEPT = Kept(CA.certificate.decode(), "uid-acme")


async def test_the_cas_that_vcproxy_keeps_count_beside_those_that_a_tenant_names() -> None:
    one = CertificateAuthenticator(Tenants(), lambda pem: None, LiveRevocations())
    credentials = [Credential(certificate=der(client(ca))) for ca in (CA, OTHER_CA)]
    one.update(ACME, OTHER_CA.certificate.decode(), KEPT)
    assert [(await one.authenticate(one_, NOW)) is not None for one_ in credentials] == [True, True]
    with pytest.raises(ValueError, match="PEM"):
        one.update(ACME, "odd", KEPT)
    assert [(await one.authenticate(one_, NOW)) is not None for one_ in credentials] == [True, False]


async def test_a_ca_kept_for_a_tenant_that_is_gone_is_not_that_of_its_successor() -> None:
    one = CertificateAuthenticator(Tenants(), lambda pem: None, LiveRevocations())
    one.update(ACME, "", Kept(CA.certificate.decode(), "uid-of-before"))
    assert await one.authenticate(Credential(certificate=der(client())), NOW) is None


# CAs that TLS cannot tell apart


NO_IDENTIFIER = x509.SubjectKeyIdentifier(b"")
FIRST = made("twin", ca=True)
FIRST_IDENTIFIER = read(FIRST)[0].extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value


class Aged:
    """Tenants by when they were made."""

    def __init__(self, **created: float) -> None:
        self.created = created

    def tenant(self, tenant: TenantId) -> TenantView | None:
        return TenantView(tenant, f"uid-{tenant}", Phase.ACTIVE, created=self.created[tenant])


async def who(one: CertificateAuthenticator, ca: Pair) -> str:
    caller = await one.authenticate(Credential(certificate=sent(made("ann", ca, usage=CLIENT))), NOW)
    return caller.tenant if caller is not None else ""


@pytest.mark.parametrize("identifier", [FIRST_IDENTIFIER, NO_IDENTIFIER])
@pytest.mark.parametrize("order", [(ACME, GLOBEX), (GLOBEX, ACME)])
async def test_of_cas_that_tls_cannot_tell_apart_that_of_the_older_tenant_counts(
    identifier: x509.SubjectKeyIdentifier, order: tuple[TenantId, TenantId]
) -> None:
    one = CertificateAuthenticator(Aged(acme=2, globex=1), lambda certificate: None, LiveRevocations())
    own = {GLOBEX: FIRST, ACME: made("twin", ca=True, identifier=identifier)}
    for tenant in order:
        one.update(tenant, own[tenant].certificate.decode())
    assert [await who(one, own[tenant]) for tenant in (GLOBEX, ACME)] == ["globex", ""]
    assert one.authorities() == list(read(FIRST))
    assert one.clashing(ACME, own[ACME].certificate.decode()) == ["certificate 1 (CN=twin)"]
    assert one.clashing(GLOBEX, FIRST.certificate.decode()) == []
    one.update(GLOBEX, "")
    assert [await who(one, own[tenant]) for tenant in (GLOBEX, ACME)] == ["", "acme"]


async def test_what_vcproxy_keeps_comes_before_what_tenants_bring() -> None:
    one = CertificateAuthenticator(Aged(acme=2, globex=1), lambda certificate: None, LiveRevocations())
    brought = made("twin", ca=True, identifier=FIRST_IDENTIFIER)
    one.update(GLOBEX, brought.certificate.decode())
    assert await who(one, brought) == "globex"
    one.update(ACME, "", Kept(FIRST.certificate.decode(), "uid-acme"))
    assert [await who(one, ca) for ca in (FIRST, brought)] == ["acme", ""]


async def test_cas_of_one_name_and_other_key_identifiers_or_of_one_key_are_no_rivals() -> None:
    one = CertificateAuthenticator(Aged(acme=2, globex=1), lambda certificate: None, LiveRevocations())
    key = ec.generate_private_key(ec.SECP256R1())
    mine, renewed = made("twin", ca=True, key=key), made("twin", ca=True, key=key, identifier=NO_IDENTIFIER)
    one.update(GLOBEX, made("twin", ca=True).certificate.decode())
    one.update(ACME, mine.certificate.decode())
    assert await who(one, mine) == "acme"
    one.update(GLOBEX, "")
    one.update(ACME, f"{mine.certificate.decode()}{renewed.certificate.decode()}")
    assert len(one.authorities()) == 2


def revoked(change: Callable[[TokenRecords], TokenRecords]) -> tuple[CertificateAuthenticator, Callable[[], None]]:
    """An authenticator, and what makes the change known to it."""
    known = LiveRevocations()
    one = CertificateAuthenticator(Tenants(), lambda pem: None, known)
    one.update(ACME, CA.certificate.decode())
    return one, lambda: known.update(ACME, change(TokenRecords()).data())


def recorded(pair: Pair) -> IssuedToken:
    number = f"{x509.load_pem_x509_certificate(pair.certificate).serial_number:x}"
    return IssuedToken(number, "ann", (), NOW, NOW + 3600, "uid-acme", kind="certificate")


MINE = client()
CHANGES: list[Callable[[TokenRecords], TokenRecords]] = [
    lambda records: records.add(recorded(MINE), NOW).revoke(recorded(MINE).id, NOW + 1),
    lambda records: records.revoke_user("ann", NOW + 1),
    lambda records: records.revoke_all(NOW + 1),
]


@pytest.mark.parametrize("change", CHANGES)
async def test_a_revoked_certificate_counts_no_more_though_it_was_known(
    change: Callable[[TokenRecords], TokenRecords],
) -> None:
    one, revoke = revoked(change)
    credential = Credential(certificate=der(MINE))
    assert await one.authenticate(credential, NOW) is not None
    revoke()
    with pytest.raises(ApiError):
        one.recall(credential, NOW)
    with pytest.raises(ApiError):
        await one.authenticate(credential, NOW)


async def test_one_issued_after_its_user_was_revoked_counts_though_it_is_valid_from_before() -> None:
    one, revoke = revoked(lambda records: records.revoke_user("ann", NOW - 1).add(recorded(MINE), NOW))
    revoke()
    assert x509.load_pem_x509_certificate(MINE.certificate).not_valid_before_utc.timestamp() < NOW - 1
    assert await one.authenticate(Credential(certificate=der(MINE)), NOW) is not None
    with pytest.raises(ApiError):  # not recorded: nobody knows that it is newer
        await one.authenticate(Credential(certificate=der(client())), NOW)


async def test_what_is_remembered_ends_with_the_certificate() -> None:
    one = of_acme()
    credential = Credential(certificate=der(client(days=1)))
    caller = await one.authenticate(credential, NOW + 86300)
    assert caller is not None
    assert one.recall(credential, caller.expires) is None


@pytest.mark.parametrize("bundle", ["odd", client().certificate.decode(), CA.certificate.decode() * 9])
async def test_what_is_no_ca_counts_for_nothing(bundle: str) -> None:
    one = of_acme()
    with pytest.raises(ValueError, match=r"."):
        one.update(ACME, bundle)
    assert await one.authenticate(Credential(certificate=der(client())), NOW) is None


# Over TLS: what the listener hands on is what the client has the key of.


class Listener:
    """A server that answers with the certificate that it was handed, and clients of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.trust = Trust()
        self.server_ca = certificates.make_ca()
        source = certificates.of_ca(lambda: self.server_ca, ["localhost"])
        context = self.trust.apply(source.context())
        self.server = Server(self.handle, ServerSettings("127.0.0.1", 0, drain=0.1), context)

    async def handle(self, call: Call) -> Reply:
        return Reply(200, (), call.certificate or b"none")

    def context(self, pair: Pair | None, *between: Pair, key: Pair | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context(cadata=self.server_ca.certificate.decode())
        if pair is not None:
            file = self.folder / "client.pem"
            file.write_bytes(b"\n".join([*(one.certificate for one in (pair, *between)), (key or pair).key]))
            context.load_cert_chain(file)
        return context

    async def ask(self, pair: Pair | None, *between: Pair, key: Pair | None = None) -> bytes:
        context = self.context(pair, *between, key=key)
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.server.port, ssl=context, server_hostname="localhost"
        )
        try:
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            return (await asyncio.wait_for(reader.read(), 5)).partition(b"\r\n\r\n")[2]
        except (ssl.SSLError, ConnectionError):
            return b""  # TLS 1.3: the client hears of it after its own handshake is done
        finally:
            writer.close()


@pytest.mark.parametrize("identifier", [FIRST_IDENTIFIER, NO_IDENTIFIER])
async def test_a_ca_that_is_mistaken_for_another_does_not_end_its_logins(
    tmp_path: Path, identifier: x509.SubjectKeyIdentifier, caplog: pytest.LogCaptureFixture
) -> None:
    listener = Listener(tmp_path)
    await listener.server.start()
    try:
        listener.trust.add(*read(FIRST))
        for _ in range(3):
            listener.trust.add(*read(made("twin", ca=True, identifier=identifier)))
        mine = made("ann", FIRST, usage=CLIENT)
        assert await listener.ask(mine) == der(mine)
    finally:
        await listener.server.drain()
    assert "CN=twin is not trusted" in caplog.text


async def test_tls_hands_on_the_certificate_of_a_trusted_ca_and_refuses_others(tmp_path: Path) -> None:
    listener = Listener(tmp_path)
    await listener.server.start()
    try:
        mine = client()
        assert await listener.ask(mine) == b"none"  # nobody is trusted: nothing is asked for
        listener.trust.add(*read(CA))  # while it runs
        assert await listener.ask(mine) == der(mine)
        assert await listener.ask(None) == b"none"
        assert await listener.ask(client(OTHER_CA)) == b""
        listener.trust.add(*read(OTHER_CA))
        other = client(OTHER_CA)
        assert await listener.ask(other) == der(other)
    finally:
        await listener.server.drain()


async def test_a_certificate_without_its_key_opens_nothing(tmp_path: Path) -> None:
    listener = Listener(tmp_path)
    listener.trust.add(*read(CA))
    await listener.server.start()
    try:
        with pytest.raises(ssl.SSLError):  # the client's own library will not even try
            await listener.ask(client(), key=client())
    finally:
        await listener.server.drain()


async def test_tls_hands_on_what_a_client_sends_between_itself_and_a_ca(tmp_path: Path) -> None:
    listener = Listener(tmp_path)
    root = made("root", ca=True)
    between = made("between", root, ca=True)
    mine = made("ann", between, usage=CLIENT)
    listener.trust.add(*read(root))
    await listener.server.start()
    try:
        assert await listener.ask(mine, between) == sent(mine, between)
        assert await listener.ask(mine) == b""  # nobody knows how it leads to the root
        assert await listener.ask(mine, made("between", OTHER_CA, ca=True)) == b""
        late = made("between", root, ca=True, ends=START)
        assert await listener.ask(made("ann", late, usage=CLIENT), late) == b""
        listener.trust.add(*read(between))  # the one in between is all that a tenant names
        assert await listener.ask(mine) == der(mine)
    finally:
        await listener.server.drain()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_every_handshake_tells_the_whole_chain_also_of_a_client_that_was_here_before(
    tmp_path: Path, version: ssl.TLSVersion
) -> None:
    listener = Listener(tmp_path)
    root = made("root", ca=True)
    between = made("between", root, ca=True)
    mine = made("ann", between, usage=CLIENT)
    listener.trust.add(*read(root))
    await listener.server.start()
    try:
        context = listener.context(mine, between)
        context.minimum_version = context.maximum_version = version
        told = await asyncio.to_thread(resumed, context, listener.server.port)
        assert told == [sent(mine, between)] * 2
    finally:
        await listener.server.drain()


def resumed(context: ssl.SSLContext, port: int) -> list[bytes]:
    """What two connections are answered, of which the second offers to go on with the session of the first."""
    found, session = [], None
    for _ in range(2):
        with (
            socket.create_connection(("127.0.0.1", port), 5) as plain,
            context.wrap_socket(plain, server_hostname="localhost", session=session) as tls,
        ):
            tls.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            answer = b""
            while piece := tls.recv(65536):
                answer += piece
            found.append(answer.partition(b"\r\n\r\n")[2])
            session = tls.session
    return found
